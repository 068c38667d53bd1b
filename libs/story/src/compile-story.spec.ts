import * as fc from 'fast-check';
import {
  compileExpression,
  compileStory,
  EvaluationError,
  type Expression,
  normaliseStory,
  parseExpression,
  type Scope,
  storyHash,
  StoryNotPlayable,
  type Value,
} from './index.js';
import { anyGuard, anyIntExpression, anyStory } from './testing/any-story.js';

const parsed = (text: string): Expression => {
  const result = parseExpression(text);
  if (!result.ok) throw new Error(result.problem.message);
  return result.expression;
};
const scopeOf = (scope: Partial<Scope> = {}): Scope => ({ variables: {}, visits: {}, chosen: {}, turn: 0, ...scope });

/** What the language means, written as plainly as possible: one value after the other, on BigInt so that nothing is rounded. */
function naive(expression: Expression, scope: Scope): Value {
  const of = (part: Expression) => naive(part, scope);
  const whole = (result: bigint): number => {
    if (result > BigInt(Number.MAX_SAFE_INTEGER) || result < BigInt(Number.MIN_SAFE_INTEGER)) throw new EvaluationError('overflow', '');
    return Number(result);
  };
  const big = (part: Expression) => BigInt(of(part) as number);
  switch (expression.op) {
    case 'bool':
    case 'int':
    case 'string':
      return expression.value;
    case 'set':
      return expression.members;
    case 'var':
      return scope.variables[expression.name] as Value;
    case 'visits':
      return scope.visits[expression.passage] ?? 0;
    case 'chosen':
      return scope.chosen[expression.choice] ?? 0;
    case 'turn':
      return scope.turn;
    case 'size':
      return (of(expression.of) as readonly string[]).length;
    case '!':
      return of(expression.of) === false;
    case 'neg':
      return whole(-big(expression.of));
    case '?:':
      return of(expression.if) === true ? of(expression.then) : of(expression.else);
    case '&&':
      return of(expression.left) === false ? false : of(expression.right);
    case '||':
      return of(expression.left) === true ? true : of(expression.right);
    case '==':
      return JSON.stringify(of(expression.left)) === JSON.stringify(of(expression.right));
    case '!=':
      return JSON.stringify(of(expression.left)) !== JSON.stringify(of(expression.right));
    case '<':
      return big(expression.left) < big(expression.right);
    case '<=':
      return big(expression.left) <= big(expression.right);
    case '>':
      return big(expression.left) > big(expression.right);
    case '>=':
      return big(expression.left) >= big(expression.right);
    case 'in':
      return new Set(of(expression.right) as readonly string[]).has(of(expression.left) as string);
    case '+':
      return whole(big(expression.left) + big(expression.right));
    case '-':
      return whole(big(expression.left) - big(expression.right));
    case '*':
      return whole(big(expression.left) * big(expression.right));
    case '/':
    case '%': {
      const [left, right] = [big(expression.left), big(expression.right)];
      if (right === 0n) throw new EvaluationError('division-by-zero', '');
      return whole(expression.op === '/' ? left / right : left % right);
    }
  }
}

const outcome = (evaluate: () => Value): unknown => {
  try {
    return evaluate();
  } catch (error) {
    if (error instanceof EvaluationError) return error.reason;
    throw error;
  }
};

const anyScope: fc.Arbitrary<Scope> = fc.record({
  variables: fc.record({
    brave: fc.boolean(),
    gold: fc.oneof(fc.integer({ min: -3, max: 5 }), fc.maxSafeInteger()).map((value) => value + 0),
    door: fc.constantFrom('shut', 'ajar', 'open'),
    pack: fc.subarray(['lamp', 'rope']),
  }),
  visits: fc.dictionary(fc.constantFrom('a', 'b'), fc.nat(3), { noNullPrototype: true }),
  chosen: fc.dictionary(fc.constantFrom('a/0', 'b/0'), fc.nat(3), { noNullPrototype: true }),
  turn: fc.nat(5),
});

describe('compiled expressions', () => {
  it('agree with a plain interpreter on any expression and state, errors included', () => {
    fc.assert(
      fc.property(fc.oneof(anyGuard(), anyIntExpression()), anyScope, (expression, scope) => {
        const expected = outcome(() => naive(expression, scope));
        expect(
          Object.is(
            outcome(() => compileExpression(expression).evaluate(scope)),
            expected,
          ) || JSON.stringify(expected),
        ).toEqual(typeof expected === 'object' ? JSON.stringify(expected) : true);
      }),
      { numRuns: 3_000 },
    );
  });

  it.each([
    ['7 / 2', 3],
    ['-7 / 2', -3],
    ['7 / -2', -3],
    ['-7 % 3', -1],
    ['7 % -3', 1],
    ['0 * -1', 0],
    ['-(0)', 0],
    ['0 / -5', 0],
    ['-4 % 2', 0],
    ['9007199254740991 / 2', 4503599627370495],
    ["['b', 'a'] == ['a', 'b']", true],
  ])('%s is %p', (text, value) => {
    expect(Object.is(compileExpression(parsed(text)).evaluate(scopeOf()), value)).toBe(true);
  });

  it.each([
    ['9007199254740991 + 1', 'overflow'],
    ['-9007199254740991 - 1', 'overflow'],
    ['9007199254740991 * 9007199254740991', 'overflow'],
    ['1 / 0', 'division-by-zero'],
    ['1 % 0', 'division-by-zero'],
  ])('%s is refused as %s and never wraps', (text, reason) => {
    expect(outcome(() => compileExpression(parsed(text)).evaluate(scopeOf()))).toBe(reason);
  });

  it('stop at the first operand that decides: an error after it does not happen, one before it does', () => {
    const run = (text: string) => outcome(() => compileExpression(parsed(text)).evaluate(scopeOf()));
    expect(run('false && 1 / 0 == 1')).toBe(false);
    expect(run('true || 1 / 0 == 1')).toBe(true);
    expect(run('1 / 0 == 1 && false')).toBe('division-by-zero');
    expect(run('1 / 0 == 1 || true')).toBe('division-by-zero');
  });

  it('name the first part that fails, and the variables read in order', () => {
    const guard = compileExpression<boolean>(parsed("gold >= 3 && ('rope' in pack || brave) && !tired"));
    const variables = { gold: 3, pack: ['lamp'], brave: false, tired: false };
    expect(guard.failing(scopeOf({ variables }))).toBe("'rope' in pack || brave");
    expect(guard.failing(scopeOf({ variables: { ...variables, gold: 2 } }))).toBe('gold >= 3');
    expect(guard.failing(scopeOf({ variables: { ...variables, brave: true } }))).toBeUndefined();
    expect(guard.reads).toEqual(['brave', 'gold', 'pack', 'tired']);
  });

  it('never reach a prototype', () => {
    const scope = scopeOf();
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(compileExpression({ op: 'visits', passage: name }).evaluate(scope)).toBe(0);
      expect(compileExpression({ op: 'chosen', choice: name }).evaluate(scope)).toBe(0);
      expect(() => compileExpression({ op: 'var', name })).toThrow('cannot be a variable');
    }
  });
});

describe('compiled stories', () => {
  const form = {
    id: 'hubs',
    title: 'Hubs',
    start: 'square',
    variables: { pack: { type: 'set', values: ['rope', 'lamp'], default: ['rope', 'lamp'] }, brave: { type: 'bool' } },
    endings: { out: {} },
    passages: {
      square: {
        storylets: { tag: 'rumour', limit: 2 },
        choices: [
          { id: 'leave', label: 'Leave', target: { end: 'out' }, visibleWhen: 'brave' },
          { id: 'tired', label: 'Sleep', target: 'square', kind: 'timed', timeoutMs: 2_000, effects: [{ draw: 'brave' }] },
        ],
      },
      zeal: { tags: ['rumour'], offerWhen: true, priority: 1, choices: [{ id: 'b', label: 'Back', target: 'return' }] },
      ale: { tags: ['rumour'], offerWhen: true, priority: 1, choices: [{ id: 'b', label: 'Back', target: 'return' }] },
      war: { tags: ['rumour', 'x'], offerWhen: 'brave', priority: 9, choices: [{ id: 'b', label: 'Back', target: 'return' }] },
      other: { tags: ['y'], offerWhen: true, choices: [{ id: 'b', label: 'Back', target: 'return' }] },
    },
  };
  const { story } = normaliseStory(form);
  if (story === undefined) throw new Error('the story of this test is broken');

  it('offer storylets by priority, then by id', () => {
    const compiled = compileStory(story);
    expect(compiled.start.id).toBe('square');
    expect(compiled.start.storylets.map((storylet) => storylet.id)).toEqual(['war', 'ale', 'zeal']);
    expect(compiled.start.storyletLimit).toBe(2);
    expect(compiled.passage('ale')?.storylets).toEqual([]);
    expect(compiled.passage('nowhere')).toBeUndefined();
    expect(compiled.passage('__proto__')).toBeUndefined();
  });

  it('hold defaults, keys, the timed choice and the hash', () => {
    const compiled = compileStory(story);
    expect(compiled.initialVariables).toEqual({ brave: false, pack: ['lamp', 'rope'] });
    expect(Object.keys(compiled.initialVariables)).toEqual(['brave', 'pack']);
    expect(compiled.hash).toBe(storyHash(story));
    expect(compiled.start.timed?.key).toBe('square/tired');
    expect(compiled.start.timed?.effects[0]?.effect).toMatchObject({ do: 'draw', id: 'square/tired#1' });
    expect(compiled.start.choices[0]?.visibleWhen?.evaluate(scopeOf({ variables: { brave: true } }))).toBe(true);
  });

  it('refuse a story with errors and say which', () => {
    const broken = { ...story, start: 'nowhere' };
    expect(() => compileStory(broken)).toThrow(StoryNotPlayable);
    expect(() => compileStory(broken)).toThrow('FAB-G102');
  });

  it('compile any story whose references hold', () => {
    fc.assert(
      fc.property(anyStory(), (any) => {
        try {
          expect(compileStory(any).start.id).toBe('a');
        } catch (error) {
          if (!(error instanceof StoryNotPlayable)) throw error;
          expect(error.problems.map((problem) => problem.code)).toContain('FAB-G105');
        }
      }),
      { numRuns: 300 },
    );
  });
});
