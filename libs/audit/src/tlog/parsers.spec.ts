import * as fc from 'fast-check';
import { leafHash, leafIndex, treeSize } from './hash.js';
import { signCheckpointNote } from './checkpoint-note.js';
import { generateSigner, MalformedKey, MalformedNote, parseSignerKey, parseVerifierKey, UnverifiedNote } from './note.js';
import { entriesPath, formatEntries, parseEntries, parseEntriesPath, parseTilePath, tilePath } from './tile.js';
import { formatTlogProof, MalformedProof, openTlogProof, parseTlogProof } from './tlog-proof.js';
import { formatTrust, MalformedTrust, openTrustedNote, parseTrust } from './trusted-keys.js';

/*
 * Whatever parses is written back the same, and everything else is refused with the error that was promised: texts are valid ones with
 * pieces cut, doubled, moved, or put in.
 */
const LONG = process.env['FABULA_TEST_LONG'] !== undefined;
const RUNS = LONG ? 1_000_000 : 1_000;
jest.setTimeout(LONG ? 3_600_000 : 60_000);
const signer = generateSigner('fabula.test/audit');
const root = leafHash(Buffer.from('entry'));
const note = signCheckpointNote({ origin: 'fabula.test/audit/log-1/p0', size: treeSize(1), root }, signer);
const other = generateSigner('fabula.test/audit');

/** A valid text with up to four changes. */
function near(valid: string, ...pieces: readonly string[]): fc.Arbitrary<string> {
  const piece = fc.oneof(
    fc.constantFrom(...pieces, '', '\n', '\n\n', ' ', '+', '=', 'A', '0', '-', '\r', '\u00a0', '\ud800'),
    fc.string({ maxLength: 4 }),
  );
  const change = fc.record({ at: fc.nat(valid.length), cut: fc.oneof(fc.constantFrom(0, 1), fc.nat(valid.length)), put: piece });
  return fc
    .array(change, { maxLength: 4 })
    .map((changes) => changes.reduce((text, { at, cut, put }) => text.slice(0, at) + put + text.slice(at + cut), valid));
}
/** Answers what parses; anything thrown must be one of those errors. */
function parsed<T>(parse: () => T, ...errors: readonly (new (message: string) => Error)[]): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (errors.some((one) => error instanceof one)) return undefined;
    throw error;
  }
}
function holds(texts: fc.Arbitrary<string>, same: (text: string) => boolean): void {
  let accepted = 0;
  fc.assert(
    fc.property(texts, (text) => {
      const as = same(text);
      if (as) accepted++;
    }),
    { numRuns: RUNS },
  );
  // Some of them are unchanged: a parser that refuses everything is seen.
  expect(accepted).toBeGreaterThan(0);
}

describe('parsers of what comes from outside', () => {
  it('read keys in one spelling', () => {
    for (const [text, parse] of [
      [signer.verifier.vkey, (given: string) => parseVerifierKey(given).vkey],
      [signer.skey, (given: string) => parseSignerKey(given).skey],
    ] as const)
      holds(near(text, other.verifier.vkey, 'PRIVATE+KEY+'), (given) => {
        const key = parsed(() => parse(given), MalformedKey);
        if (key !== undefined) expect(key).toBe(given);
        return key !== undefined;
      });
  });

  it('open notes only as they were signed', () => {
    holds(near(note, note, '\u2014 ', '\u2014 x AAAAAAA=\n'), (text) => {
      const opened = parsed(() => openTrustedNote(text, [{ verifier: signer.verifier }]), MalformedNote, UnverifiedNote);
      if (opened !== undefined) expect([opened.origin, opened.size, opened.root]).toEqual(['fabula.test/audit/log-1/p0', 1n, root]);
      return opened !== undefined;
    });
  });

  it('read trust policies that say the same when they are written again', () => {
    const policy = formatTrust([
      { verifier: signer.verifier },
      {
        verifier: other.verifier,
        until: new Map([
          ['p0', 5n],
          ['root', 9n],
        ]),
      },
    ]);
    holds(near(policy, ' p1=7', ' root=0', 'log ', 'log-until ', '# x\n', policy), (text) => {
      const keys = parsed(() => parseTrust(text), MalformedTrust, MalformedKey);
      if (keys !== undefined) expect(formatTrust(parseTrust(formatTrust(keys)))).toBe(formatTrust(keys));
      return keys !== undefined;
    });
  });

  it('read proof files in one spelling, and believe none that was changed', () => {
    const proof = formatTlogProof({ index: leafIndex(0), hashes: [], note, extra: Buffer.from('extra') });
    expect(openTlogProof(proof, Buffer.from('entry'), [{ verifier: signer.verifier }])).toMatchObject({ index: 0n, note: { size: 1n } });
    expect(() => openTlogProof(proof, Buffer.from('other'), [{ verifier: signer.verifier }])).toThrow(/do not lead/);
    expect(() => openTlogProof(proof, Buffer.from('entry'), [{ verifier: other.verifier }])).toThrow(UnverifiedNote);
    for (const bad of [
      '',
      'c2sp.org/tlog-proof@v2',
      `${proof.replace('index 0', 'index 00')}`,
      proof.replace('index 0\n', ''),
      proof.slice(0, proof.indexOf('\n\n') + 2),
    ])
      expect(() => parseTlogProof(bad)).toThrow(MalformedProof);
    holds(near(proof, 'index 1', 'extra ', `${root.toString('base64')}\n`, proof), (text) => {
      const read = parsed(() => parseTlogProof(text), MalformedProof);
      if (read === undefined) return false;
      expect(formatTlogProof(read)).toBe(text);
      const opened = parsed(
        () => openTlogProof(text, Buffer.from('entry'), [{ verifier: signer.verifier }]),
        MalformedProof,
        MalformedNote,
        UnverifiedNote,
      );
      if (opened !== undefined) expect([opened.index, read.hashes, opened.note.root]).toEqual([0n, [], root]);
      return true;
    });
  });

  it('read paths of tiles in one spelling', () => {
    for (const valid of ['tile/0/x001/x234/067.p/12', 'tile/entries/x001/002'])
      holds(near(valid, 'x000/', '.p/', '/', 'entries', '256', '..'), (text) => {
        const tile = parseTilePath(text);
        const entries = parseEntriesPath(text);
        if (tile !== undefined) expect(tilePath(tile, tile.width)).toBe(text);
        if (entries !== undefined) expect(entriesPath(entries.index, entries.width)).toBe(text);
        return (tile === undefined) !== (entries === undefined);
      });
  });

  it('read entries that are exactly as many', () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(6), fc.boolean(), (bytes, count, split) => {
        const source = split ? formatEntries([bytes.subarray(0, 10), bytes.subarray(10)]) : bytes;
        const entries = parseEntries(source, split ? 2 : count);
        if (split) expect(entries?.map((entry) => [...entry])).toEqual([[...bytes.subarray(0, 10)], [...bytes.subarray(10)]]);
        if (entries === undefined) return;
        accepted++;
        expect(formatEntries(entries).equals(source)).toBe(true);
      }),
      { numRuns: RUNS },
    );
    expect(accepted).toBeGreaterThan(RUNS / 4);
  });
});
