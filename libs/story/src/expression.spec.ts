import * as fc from 'fast-check';
import { type Expression, MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_NODES, parseExpression, printExpression } from './index.js';
import { anyExpression } from './testing/any-expression.js';

const parsed = (text: string): Expression => {
  const result = parseExpression(text);
  if (!result.ok) throw new Error(`${result.problem.message} at ${result.problem.offset} in ${text}`);
  return result.expression;
};
const refused = (text: string) => {
  const result = parseExpression(text);
  if (result.ok) throw new Error(`was read: ${text.slice(0, 80)}`);
  return result.problem;
};

describe('reading expressions', () => {
  it('binds as CEL does: ?: below || below && below relations below sums below products', () => {
    const same = (loose: string, bracketed: string) => expect(parsed(loose)).toEqual(parsed(bracketed));
    same('a || b && c', 'a || (b && c)');
    same('a && b == c', 'a && (b == c)');
    same('a + b * c < d - e', '(a + (b * c)) < (d - e)');
    same('a - b - c', '(a - b) - c');
    same('a ? b : c ? d : e', 'a ? b : (c ? d : e)');
    same('!a && b', '(!a) && b');
    same('-a * b', '(-a) * b');
    same("'x' in pack && size(pack) > 2", "('x' in pack) && (size(pack) > 2)");
    same('a < b == c', '(a < b) == c');
  });

  it('reads literals, names and calls', () => {
    expect(parsed('true')).toEqual({ op: 'bool', value: true });
    expect(parsed('-5')).toEqual({ op: 'int', value: -5 });
    expect(Object.is((parsed('-0') as { value: number }).value, 0)).toBe(true);
    expect(parsed(`"it's"`)).toEqual({ op: 'string', value: "it's" });
    expect(parsed(`'\\u00e9\\n\\''`)).toEqual({ op: 'string', value: "é\n'" });
    expect(parsed("['rope', 'lamp', 'rope']")).toEqual({ op: 'set', members: ['lamp', 'rope'] });
    expect(parsed('[]')).toEqual({ op: 'set', members: [] });
    expect(parsed("visits('the hall') > turn")).toEqual({
      op: '>',
      left: { op: 'visits', passage: 'the hall' },
      right: { op: 'turn' },
    });
    expect(parsed("chosen('hall/enter')")).toEqual({ op: 'chosen', choice: 'hall/enter' });
  });

  it('says line, column and offset of what it cannot read', () => {
    expect(refused('gold >= 3 &&\n  gold = 4')).toMatchObject({ code: 'FAB-G010', line: 2, column: 8, offset: 20 });
    expect(refused('gold >')).toMatchObject({ code: 'FAB-G010', line: 1, column: 7, offset: 6 });
    expect(refused("a\n&& 'open")).toMatchObject({ line: 2, column: 4 });
    expect(refused('')).toMatchObject({ code: 'FAB-G010', offset: 0 });
  });

  it.each([
    ['1.5', 'fractions'],
    ['9007199254740992', 'numbers beyond the safe range'],
    ['a.b', 'fields'],
    ["matches('x')", 'functions it does not have'],
    ["'a\\u0000'", 'U+0000'],
    ["'\\ud800'", 'half a character'],
    ['null', 'reserved words'],
    ['visits(hall)', 'ids without quotes'],
    ['[1]', 'sets of numbers'],
    ['a b', 'leftovers'],
    ['a & b', 'single ampersands'],
    ['(a', 'open brackets'],
    ['"a\nb"', 'texts over two lines'],
  ])('refuses %s (%s)', (text) => {
    expect(refused(text).code).toBe('FAB-G010');
  });

  it.each([
    ['10,000 brackets', '('.repeat(10_000)],
    ['10,000 closed brackets', '('.repeat(10_000) + 'a' + ')'.repeat(10_000)],
    ['10,000 negations', '!'.repeat(10_000) + 'a'],
    ['10,000 minuses', '-'.repeat(10_000) + 'a'],
    ['10,000 branches', 'a ? b : '.repeat(4_000) + 'c'],
    ['10,000 nested sizes', 'size('.repeat(6_000)],
    ['a chain of 10,000 conjuncts', 'a && '.repeat(6_000) + 'a'],
    ['a megabyte', 'a'.repeat(1_000_000)],
    ['a megabyte of blanks', ' '.repeat(1_000_000)],
    ['a set of 10,000', '[' + "'a',".repeat(7_000) + "'a']"],
    ['a long text', `'${'a'.repeat(300)}'`],
  ])('refuses %s with the code for size', (_name, text) => {
    expect(refused(text).code).toBe('FAB-G011');
  });

  it('allows exactly the stated depth and number of parts', () => {
    const chain = (terms: number) => Array.from({ length: terms }, () => 'a').join(' + ');
    expect(parseExpression(chain(MAX_EXPRESSION_DEPTH)).ok).toBe(true);
    expect(refused(chain(MAX_EXPRESSION_DEPTH + 1)).code).toBe('FAB-G011');
    const set = (members: number) => `[${Array.from({ length: members }, (_, i) => `'${i}'`).join(',')}]`;
    expect(parseExpression(set(MAX_EXPRESSION_NODES - 1)).ok).toBe(true);
    expect(refused(set(MAX_EXPRESSION_NODES)).code).toBe('FAB-G011');
  });

  it('never throws, whatever the text', () => {
    const soup = fc.array(
      fc.constantFrom('a', '1', "'x'", '(', ')', '[', ']', '!', '-', '&&', '||', '?', ':', ' in ', 'size', ',', '==', '%', '\\', '"'),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          soup.map((parts) => parts.join('')),
        ),
        (text) => {
          const result = parseExpression(text);
          if (result.ok) expect(parsed(printExpression(result.expression))).toEqual(result.expression);
          else expect(result.problem.offset).toBeLessThanOrEqual(text.length);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('printing expressions', () => {
  it('gives text that reads back as the same tree', () => {
    fc.assert(
      fc.property(anyExpression(), (expression) => {
        expect(parsed(printExpression(expression))).toEqual(expression);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    'a || b && c',
    '(a || b) && c',
    'a - (b - c)',
    '-(5)',
    '--5',
    '!(a && b)',
    '(a ? b : c) ? d : e',
    "'it\\'s'",
    "size(['a', 'b'])",
    '(a == b) == c',
  ])('uses as few brackets as possible: %s', (text) => {
    const fewest: { [text: string]: string } = { '(a == b) == c': 'a == b == c' };
    expect(printExpression(parsed(text))).toBe(fewest[text] ?? text);
  });
});
