import * as fc from 'fast-check';
import { signCheckpointNote } from './checkpoint-note.js';
import { leafHash, treeSize } from './hash.js';
import { generateSigner, MalformedKey, MalformedNote, signNote, UnverifiedNote } from './note.js';
import { formatTrust, MalformedTrust, openTrustedNote, parseTrust, type TrustedKey } from './trusted-keys.js';

const [older, newer] = [generateSigner('fabula.test/audit'), generateSigner('fabula.test/audit')];
const root = leafHash(Buffer.from('x'));
const note = (tree: string, size: number, ...signers: (typeof older)[]): string =>
  signCheckpointNote({ origin: `fabula.test/audit/log-1/${tree}`, size: treeSize(size), root }, ...signers);
const keys: readonly TrustedKey[] = [
  { verifier: newer.verifier },
  {
    verifier: older.verifier,
    until: new Map([
      ['p0', 12n],
      ['root', 5n],
    ]),
  },
];

describe('the keys that are trusted', () => {
  it('count for notes up to their limits: a replaced key alone vouches for no larger tree and for no other', () => {
    expect(openTrustedNote(note('p0', 12, older), keys).size).toBe(12n);
    expect(openTrustedNote(note('root', 5, older), keys).size).toBe(5n);
    for (const [tree, size] of [
      ['p0', 13],
      ['root', 6],
      ['p1', 1],
      ['access', 1],
    ] as const)
      expect(() => openTrustedNote(note(tree, size, older), keys)).toThrow(/replaced.*not for/);
    expect(openTrustedNote(note('p0', 13, newer), keys).size).toBe(13n);
    expect(openTrustedNote(note('p0', 13, newer, older), keys).size).toBe(13n);
    // Whoever has not heard of the new key yet goes on with the old one while both sign.
    expect(openTrustedNote(note('p0', 13, newer, older), parseTrust(older.verifier.vkey)).size).toBe(13n);
    expect(() => openTrustedNote(note('p0', 13, newer), parseTrust(older.verifier.vkey))).toThrow(UnverifiedNote);
    const forged = note('p0', 13, older, newer).replace(/[A-Za-z0-9+/]{8}=*\n$/, 'AAAAAAAA\n');
    expect(() => openTrustedNote(forged, keys)).toThrow(/signature|Malformed|spelling/);
    expect(() => openTrustedNote(signNote('not a checkpoint note\n', newer), keys)).toThrow(MalformedNote);
    expect(() => openTrustedNote(note('p0', 1, older), [])).toThrow(UnverifiedNote);
  });

  it('are written as a policy that reads back the same, whatever the limits', () => {
    const text = formatTrust(keys);
    expect(text).toBe(`log ${newer.verifier.vkey}\nlog-until ${older.verifier.vkey} p0=12 root=5\n`);
    expect(formatTrust(parseTrust(`# of fabula.test\n\n${text}`))).toBe(text);
    expect(parseTrust(newer.verifier.vkey)).toEqual([{ verifier: expect.objectContaining({ vkey: newer.verifier.vkey }) as object }]);
    const tree = fc.oneof(
      fc.constantFrom('root', 'access'),
      fc.nat(9999).map((n) => `p${n}`),
    );
    fc.assert(
      fc.property(fc.dictionary(tree, fc.bigInt(0n, 2n ** 63n - 1n)), (limits) => {
        const until = new Map(Object.entries(limits));
        const [, read] = parseTrust(formatTrust([{ verifier: newer.verifier }, { verifier: older.verifier, until }]));
        expect(read?.until).toEqual(until);
      }),
      { numRuns: 50 },
    );
  });

  it('are read from a C2SP tlog-policy, past what it says of addresses and witnesses', () => {
    const policy = `log ${newer.verifier.vkey} https://log.example/p0\nwitness w1 ${older.verifier.vkey} https://w.example\ngroup g any w1\nquorum g\n`;
    expect(formatTrust(parseTrust(policy))).toBe(`log ${newer.verifier.vkey}\n`);
    expect(() => parseTrust('quorum none\n')).toThrow(/names no key/);
  });

  it('are refused in any other form, with the line', () => {
    const [a, b] = [newer.verifier.vkey, older.verifier.vkey];
    const stranger = generateSigner('another/name').verifier.vkey;
    for (const bad of [
      'log \n',
      `log ${a} p0=1\n`,
      `log-until ${a} p0=01\n`,
      `log-until ${a} p0=1 p0=2\n`,
      `log-until ${a} p0=9223372036854775808\n`,
      `log-until ${a} q=1\n`,
      `log-until ${a} p00=1\n`,
      `log ${a}\nlog-until ${a} p0=1\n`,
      `log ${a}\nlog ${stranger}\n`,
      `key ${a}\n`,
      `log  ${a}\n`,
      ` log ${a}\n`,
      `log ${a} \n`,
      `log ${a}\r\n`,
      '# nothing\n',
      '\n',
      '',
      'x'.repeat(1_000_001),
      `log ${b.slice(0, -1)}\n`,
      `${a}\n`,
    ]) {
      const refused = (): unknown => parseTrust(bad);
      expect(refused).toThrow();
      try {
        refused();
      } catch (error) {
        expect(error instanceof MalformedTrust || error instanceof MalformedKey ? bad : error).toBe(bad);
      }
    }
  });
});
