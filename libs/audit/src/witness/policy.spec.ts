import * as fc from 'fast-check';
import { generateCosigner, generateSigner } from '../tlog/index.js';
import { formatPolicy, MalformedPolicy, parsePolicy, quorumReached } from './policy.js';

const log = generateSigner('fabula.test').verifier.vkey;
const keys = ['X1', 'X2', 'X3', 'Y1', 'Y2'].map((name) => generateCosigner(`witness.test/${name}`).verifier.vkey);
const [x1, x2, x3, y1, y2] = keys as [string, string, string, string, string];
const TWO_LEVELS = `# two organisations
log ${log}

witness X1 ${x1} https://x1.test/
\twitness  X2 ${x2}
witness X3 ${x3}
group X 2 X1 X2 X3
witness Y1 ${y1}
witness Y2 ${y2}
group Y any Y1 Y2
group both all X Y
quorum both
`;

describe('a policy', () => {
  it('says which sets of witnesses suffice, through groups of groups', () => {
    const policy = parsePolicy(TWO_LEVELS);
    expect(policy.witnesses.map(({ name, url }) => [name, url])).toEqual([
      ['X1', 'https://x1.test'],
      ['X2', undefined],
      ['X3', undefined],
      ['Y1', undefined],
      ['Y2', undefined],
    ]);
    const reached = (...names: readonly string[]): boolean => quorumReached(policy, new Set(names));
    expect(reached('X1', 'X3', 'Y2')).toBe(true);
    expect(reached('X1', 'X2', 'X3')).toBe(false);
    expect(reached('X1', 'Y1', 'Y2')).toBe(false);
    // Names of groups and of strangers are no witnesses.
    expect(reached('both', 'X', 'Y', 'Z')).toBe(false);
    expect(quorumReached(parsePolicy('quorum none\n'), new Set())).toBe(true);
  });

  it('is read back from what it is written as', () => {
    const policy = parsePolicy(TWO_LEVELS);
    const text = formatPolicy(policy);
    expect(formatPolicy(parsePolicy(text))).toBe(text);
    expect(text).toContain('group X 2 X1 X2 X3\n');
  });

  it.each([
    ['a word of its own', 'wintess X1 key', 'line 1'],
    ['no quorum', `log ${log}\n`, 'no quorum'],
    ['two quorums', 'quorum none\nquorum none', 'line 2'],
    ['a quorum that is not defined yet', `quorum X1\nwitness X1 ${x1}`, 'line 1'],
    ["a log's key for a witness", `witness X1 ${log}\nquorum X1`, 'line 1'],
    ["a witness's key for a log", `log ${x1}\nquorum none`, 'line 1'],
    ['one key twice', `witness X1 ${x1}\nwitness X2 ${x1}\nquorum X1`, 'line 2'],
    ['one name twice', `witness X1 ${x1}\nwitness X1 ${x2}\nquorum X1`, 'line 2'],
    ['a witness called none', `witness none ${x1}\nquorum none`, 'line 1'],
    ['none in a group', `group g any none\nquorum g`, 'line 1'],
    ['a member of two groups', `witness X1 ${x1}\ngroup a any X1\ngroup b any X1\nquorum a`, 'line 3'],
    ['a member twice', `witness X1 ${x1}\ngroup a 1 X1 X1\nquorum a`, 'line 2'],
    ['a group of itself', 'group a any a\nquorum a', 'line 1'],
    ['more than there are', `witness X1 ${x1}\ngroup a 2 X1\nquorum a`, 'line 2'],
    ['none of them', `witness X1 ${x1}\ngroup a 0 X1\nquorum a`, 'line 2'],
    ['a number with a zero in front', `witness X1 ${x1}\ngroup a 01 X1\nquorum a`, 'line 2'],
    ['an empty group', 'group a any\nquorum a', 'line 1'],
    ['a URL of another kind', `witness X1 ${x1} ftp://x\nquorum X1`, 'line 1'],
    ['a carriage return', 'quorum none\r\n', 'line 1'],
    ['a space that is none', 'quorum\u00a0none', 'line 1'],
  ])('with %s is refused, and says where', (_, text, where) => {
    expect(() => parsePolicy(text)).toThrow(MalformedPolicy);
    expect(() => parsePolicy(text)).toThrow(where);
  });

  it('never takes fewer witnesses for more: whoever is added, a quorum stays reached', () => {
    const names = ['X1', 'X2', 'X3', 'Y1', 'Y2'];
    const policy = parsePolicy(TWO_LEVELS);
    fc.assert(
      fc.property(fc.subarray(names), fc.subarray(names), (some, more) => {
        if (quorumReached(policy, new Set(some))) expect(quorumReached(policy, new Set([...some, ...more]))).toBe(true);
      }),
    );
  });

  it('that is garbled is read or refused, never worse', () => {
    fc.assert(
      fc.property(fc.nat(TWO_LEVELS.length), fc.string({ maxLength: 4 }), fc.nat(20), (at, put, cut) => {
        try {
          parsePolicy(TWO_LEVELS.slice(0, at) + put + TWO_LEVELS.slice(at + cut));
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedPolicy);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
