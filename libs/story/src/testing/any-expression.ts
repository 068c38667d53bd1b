import * as fc from 'fast-check';
import { type BinaryOperator, type Expression, MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_NODES } from '../expression.js';
import { childrenOf } from '../compile-expression.js';
import { sortedMembers } from '../names.js';

const member = fc.string({ unit: 'grapheme', maxLength: 8 }).filter((text) => text.isWellFormed() && !text.includes('\0'));
const name = fc.constantFrom('a', 'gold', 'has_key', 'B2', '_x', 'sizes', 'into');
const operators: readonly BinaryOperator[] = ['&&', '||', '==', '!=', '<', '<=', '>', '>=', '+', '-', '*', '/', '%', 'in'];

const nodes = (expression: Expression): number =>
  1 + (expression.op === 'set' ? expression.members.length : 0) + childrenOf(expression).reduce((sum, child) => sum + nodes(child), 0);
const depth = (expression: Expression): number => 1 + Math.max(0, ...childrenOf(expression).map(depth));

/** Any tree within the limits, whether or not its types fit. */
export const anyExpression = (): fc.Arbitrary<Expression> =>
  fc
    .letrec<{ expression: Expression }>((tie) => {
      const leaf = fc.oneof(
        fc.record({ op: fc.constant('bool' as const), value: fc.boolean() }),
        fc.record({ op: fc.constant('int' as const), value: fc.maxSafeInteger().map((value) => value + 0) }),
        fc.record({ op: fc.constant('string' as const), value: member }),
        fc.record({ op: fc.constant('set' as const), members: fc.array(member, { maxLength: 4 }).map(sortedMembers) }),
        fc.record({ op: fc.constant('var' as const), name }),
        fc.record({ op: fc.constant('visits' as const), passage: member }),
        fc.record({ op: fc.constant('chosen' as const), choice: member }),
        fc.constant({ op: 'turn' as const }),
      );
      const sub = tie('expression');
      return {
        expression: fc.oneof(
          { maxDepth: 7, depthSize: 'medium' },
          leaf,
          fc.record({ op: fc.constantFrom('!' as const, 'neg' as const, 'size' as const), of: sub }),
          fc.record({ op: fc.constantFrom(...operators), left: sub, right: sub }),
          // oxlint-disable-next-line unicorn/no-thenable -- a tree, never a function
          fc.record({ op: fc.constant('?:' as const), if: sub, then: sub, else: sub }),
        ),
      };
    })
    .expression.filter((expression) => nodes(expression) <= MAX_EXPRESSION_NODES && depth(expression) <= MAX_EXPRESSION_DEPTH);
