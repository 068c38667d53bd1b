import * as fc from 'fast-check';
import { declaredValues, evaluateAbstract, int, leafOf, type Leaf, TURN_LEAF, variableLeaf } from './abstract-value.js';
import { walk } from './compile-expression.js';
import { type Domain, domainOf, GuardAnalysis, isExact } from './guard-analysis.js';
import { compileExpression, EvaluationError, type Expression, lintStory, type Scope, type Story, type Value } from './index.js';
import { analyseReach } from './reach-analysis.js';
import { anyGuard, anyIntExpression, anyStory, smallVariables } from './testing/any-story.js';
import { explore } from './testing/explore.js';

/* What lint says is "never" or "always" is held against trying everything. */

const allValues: { readonly [name: string]: readonly Value[] } = {
  brave: [true, false],
  gold: [0, 1, 2, 3],
  door: ['shut', 'ajar', 'open'],
  pack: [[], ['lamp'], ['rope'], ['lamp', 'rope']],
};
const declared = (leaf: Leaf): Domain => {
  for (const [name, variable] of Object.entries(smallVariables))
    if (leaf === variableLeaf(name)) return domainOf([declaredValues(variable)]);
  return domainOf([int(0, leaf === TURN_LEAF ? 5 : 3)]);
};

function everyScope(expression: Expression): readonly Scope[] {
  const leaves = new Map<Leaf, Expression>();
  walk(expression, (part) => {
    const leaf = leafOf(part);
    if (leaf !== undefined) leaves.set(leaf, part);
  });
  let scopes: Scope[] = [{ variables: { brave: false, gold: 0, door: 'shut', pack: [] }, visits: {}, chosen: {}, turn: 0 }];
  for (const part of leaves.values()) {
    scopes = scopes.flatMap((scope) => {
      if (part.op === 'var')
        return (allValues[part.name] ?? []).map((value) => ({ ...scope, variables: { ...scope.variables, [part.name]: value } }));
      if (part.op === 'turn') return [0, 1, 2, 3, 4, 5].map((turn) => ({ ...scope, turn }));
      if (part.op === 'visits') return [0, 1, 2, 3].map((n) => ({ ...scope, visits: { ...scope.visits, [part.passage]: n } }));
      return part.op === 'chosen' ? [0, 1, 2, 3].map((n) => ({ ...scope, chosen: { ...scope.chosen, [part.choice]: n } })) : [];
    });
    if (scopes.length > 2_000) return [];
  }
  return scopes;
}
const outcomeOf = (expression: Expression, scope: Scope): Value | 'fails' => {
  try {
    return compileExpression(expression).evaluate(scope);
  } catch (error) {
    if (error instanceof EvaluationError) return 'fails';
    throw error;
  }
};

describe('deciding guards', () => {
  it('says never and always exactly when trying every value says so', () => {
    let decided = 0;
    fc.assert(
      fc.property(anyGuard(), (guard) => {
        const scopes = everyScope(guard);
        fc.pre(scopes.length > 0);
        const outcomes = scopes.map((scope) => outcomeOf(guard, scope));
        const verdict = new GuardAnalysis(10_000_000).decide(guard, declared);
        expect(verdict.canBeTrue).toBe(outcomes.includes(true));
        expect(verdict.canBeOtherwise).toBe(outcomes.some((outcome) => outcome !== true));
        expect(isExact(verdict)).toBe(true);
        if (!verdict.canBeTrue || !verdict.canBeOtherwise) decided++;
      }),
      { numRuns: 1_500 },
    );
    expect(decided).toBeGreaterThan(50);
  });

  it('still covers everything when it compares ranges only', () => {
    fc.assert(
      fc.property(fc.oneof(anyGuard(), anyIntExpression()), (expression) => {
        const { value, mayFail } = evaluateAbstract(expression, (leaf) => {
          const domain = declared(leaf);
          return domain.kind === 'ints' ? int(domain.ranges[0]?.lo ?? 0, domain.ranges.at(-1)?.hi ?? 0) : domain;
        });
        for (const scope of everyScope(expression)) {
          const outcome = outcomeOf(expression, scope);
          if (outcome === 'fails') expect(mayFail || (value.kind === 'int' && value.lo > value.hi)).toBe(true);
          else if (value.kind === 'bool') expect(outcome === true ? value.canBeTrue : value.canBeFalse).toBe(true);
          else if (value.kind === 'int') expect(value.lo <= (outcome as number) && (outcome as number) <= value.hi).toBe(true);
        }
      }),
      { numRuns: 1_500 },
    );
  });

  it('covers arithmetic on ranges of any sign', () => {
    const range = fc.tuple(fc.integer({ min: -7, max: 7 }), fc.nat(5)).map(([lo, size]) => int(lo, lo + size));
    fc.assert(
      fc.property(fc.constantFrom('+' as const, '-' as const, '*' as const, '/' as const, '%' as const), range, range, (op, a, b) => {
        const expression: Expression = { op, left: { op: 'var', name: 'a' }, right: { op: 'var', name: 'b' } };
        const { value, mayFail } = evaluateAbstract(expression, (leaf) => (leaf === variableLeaf('a') ? a : b));
        const { evaluate } = compileExpression<number>(expression);
        for (let x = a.lo; x <= a.hi; x++) {
          for (let y = b.lo; y <= b.hi; y++) {
            if (y === 0 && (op === '/' || op === '%')) expect(mayFail).toBe(true);
            else {
              const result = evaluate({ variables: { a: x, b: y }, visits: {}, chosen: {}, turn: 0 });
              expect(value.kind === 'int' && value.lo <= result && result <= value.hi).toBe(true);
            }
          }
        }
      }),
    );
  });
});

describe('what lint proves about a story', () => {
  it('is never refuted by playing', () => {
    const proved = { unreachable: 0, never: 0, always: 0, ending: 0 };
    fc.assert(
      fc.property(anyStory(), (story) => {
        const seen = explore(story, { turns: 4, states: 400 });
        const reach = analyseReach(story);
        for (const id of seen.passages) expect(reach.passages).toContain(id);
        for (const key of seen.choices) expect(reach.choices).toContain(key);
        for (const problem of lintStory(story)) {
          const { passage = '', path } = problem.where;
          if (problem.code === 'FAB-G201') {
            proved.unreachable++;
            expect(seen.passages).not.toContain(passage);
          } else if (problem.code === 'FAB-G212') {
            proved.ending++;
            expect(seen.endings).not.toContain(path.slice('/endings/'.length));
          } else if (problem.code === 'FAB-G209') expect(seen.endings.size).toBe(0);
          else if (problem.code === 'FAB-G203' && !problem.message.includes('together')) {
            proved.never++;
            expect(seen.outcomes.get(path) ?? new Set()).not.toContain(true);
          } else if (problem.code === 'FAB-G204') {
            proved.always++;
            expect(seen.outcomes.get(path) ?? new Set()).not.toContain(false);
          }
        }
      }),
      { numRuns: Number(process.env['FABULA_TEST_LONG'] ? 20_000 : 600) },
    );
    // The property would hold for a lint that says nothing.
    expect(Math.min(...Object.values(proved))).toBeGreaterThan(20);
  });

  it('covers every value that a variable takes in play', () => {
    fc.assert(
      fc.property(anyStory(), (story: Story) => {
        const domain = analyseReach(story).domain();
        for (const variables of explore(story, { turns: 4, states: 300 }).variables) {
          for (const [name, value] of Object.entries(variables)) expect(covers(domain(variableLeaf(name)), value)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});

function covers(domain: Domain, value: Value): boolean {
  switch (domain.kind) {
    case 'bool':
      return value === true ? domain.canBeTrue : domain.canBeFalse;
    case 'string':
      return domain.values.includes(value as string);
    case 'ints':
      return domain.ranges.some(({ lo, hi }) => lo <= (value as number) && (value as number) <= hi);
    case 'set':
      return (
        (value as readonly string[]).every((one) => domain.may.includes(one)) &&
        domain.must.every((one) => (value as readonly string[]).includes(one))
      );
  }
}
