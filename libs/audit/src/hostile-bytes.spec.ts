import * as fc from 'fast-check';
import { isLong } from '../../../test/support/requirement.js';
import { verified } from '../../../test/support/verification.js';
import { parseRedacted, redactedLine } from './bundle/bundle-format.js';
import {
  Malformed,
  readDescription,
  readRootConsistency,
  readRootCosigned,
  readRootLeaf,
  readTimestampAbout,
  readTreeProof,
} from './bundle/read-json.js';
import { MalformedTar, readTar, TAR_END, tarMember } from './bundle/tar.js';
import { verifyBundle } from './bundle/verify-bundle.js';
import { decodeSummary, encodeSummary } from './terms/index.js';
import { termsByParsing, termsOfLeaf } from './terms/leaf-terms.js';
import { audited, streamed, testSigner } from './testing/audited.js';
import { unpack, type BundleFile } from './testing/tampering.js';
import {
  generateCosigner,
  leafHash,
  MalformedKey,
  MalformedNote,
  openNote,
  parseCosignerKey,
  parseCosignerSecret,
  treeSize,
  UnverifiedNote,
  withSignatures,
} from './tlog/index.js';
import { formatAddCheckpoint, MalformedRequest, parseAddCheckpoint } from './witness/add-checkpoint.js';
import { formatPolicy, MalformedPolicy, parsePolicy } from './witness/policy.js';

/*
 * Bytes that come from outside: valid ones with pieces cut, doubled, moved or put in. Whatever is read means what it says, and everything else
 * is refused with the error that was promised. Notes, keys, tiles and proof files: tlog/parsers.spec.ts and tlog/note.spec.ts.
 */
const RUNS = isLong ? 1_000_000 : 500;
/** Each is many parsers one after another. */
const BUNDLES = isLong ? 50_000 : 100;
const counted: Record<string, number> = {};
afterAll(() => verified('5 fuzz of parsers', () => Promise.resolve({ ...counted })));

/** A valid byte string with up to four changes. */
function near(valid: Buffer, ...pieces: readonly string[]): fc.Arbitrary<Buffer> {
  const text = fc.constantFrom(
    ...pieces,
    '',
    '\n',
    '\n\n',
    ' ',
    '+',
    '=',
    '0',
    '-1',
    '9'.repeat(20),
    'null',
    '[]',
    '{}',
    '"',
    '\0',
    '\ud800',
  );
  const piece = fc.oneof(
    text.map((one) => Buffer.from(one)),
    fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
  );
  const change = fc.record({ at: fc.nat(valid.length), cut: fc.oneof(fc.constantFrom(0, 1), fc.nat(valid.length)), put: piece });
  return fc
    .array(change, { maxLength: 4 })
    .map((changes) =>
      changes.reduce((bytes, { at, cut, put }) => Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + cut)]), valid),
    );
}
type Errors = readonly (new (...given: never[]) => Error)[];
/** Whether it parses; anything thrown must be one of those errors. */
function reads(parse: () => unknown, ...errors: Errors): boolean {
  try {
    parse();
    return true;
  } catch (error) {
    if (errors.some((one) => error instanceof one)) return false;
    throw error;
  }
}
/** Whatever is read, `read` looks at; at least the unchanged ones are. */
function holds(what: string, bytes: fc.Arbitrary<Buffer>, read: (bytes: Buffer) => boolean): void {
  let accepted = 0;
  fc.assert(
    fc.property(bytes, (given) => {
      if (read(given)) accepted++;
    }),
    { numRuns: RUNS },
  );
  expect(accepted).toBeGreaterThan(0);
  expect(accepted).toBeLessThan(RUNS);
  counted[what] = (counted[what] ?? 0) + RUNS;
}

describe('parsers of what comes from outside', () => {
  let files: readonly BundleFile[];
  let bundle: Buffer;
  let leaf: Buffer;
  const content = (name: string): Buffer => files.find((file) => file.name === name)?.content ?? Buffer.alloc(0);
  beforeAll(async () => {
    const history = audited(91, { partitions: 1 });
    await history.round(3);
    bundle = await history.bundle(undefined, testSigner, { filter: { kind: 'term', term: { type: 'actor', value: 'actor-2' } } });
    files = await unpack(bundle);
    leaf = history.store.trees.get('p0')?.leaves[2]?.bytes ?? Buffer.alloc(0);
    expect(leaf.length).toBeGreaterThan(100);
  });

  it('read archives in one spelling', async () => {
    const archive = Buffer.concat([tarMember('a', Buffer.from('one')), tarMember('b/c', Buffer.alloc(600, 7)), TAR_END]);
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(near(archive, '0000644\0', 'ustar\x0000'), async (bytes) => {
        const written: Buffer[] = [];
        try {
          for await (const member of readTar(streamed(bytes))) {
            const parts: Buffer[] = [];
            for await (const part of member.content) parts.push(part);
            written.push(tarMember(member.name, Buffer.concat(parts)));
          }
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedTar);
          return;
        }
        accepted++;
        expect(Buffer.concat([...written, TAR_END]).equals(bytes)).toBe(true);
      }),
      { numRuns: RUNS },
    );
    expect(accepted).toBeGreaterThan(0);
    counted['archives'] = RUNS;
  });

  it('read the files of a bundle or say what is wrong with them', () => {
    holds('files of bundles', near(content('data/export.json')), (bytes) => reads(() => readDescription(bytes), Malformed));
    holds('files of bundles', near(content('data/p0/proof.json')), (bytes) => reads(() => readTreeProof(bytes), Malformed));
    const consistency = Buffer.from(JSON.stringify({ previous: { note: 'a note', hashes: [leafHash(leaf).toString('base64')] } }));
    holds('files of bundles', near(consistency), (bytes) => reads(() => readRootConsistency(bytes), Malformed));
    const cosigned = Buffer.from(JSON.stringify({ note: 'a note', hashes: [leafHash(leaf).toString('base64')] }));
    holds('files of bundles', near(cosigned), (bytes) => reads(() => readRootCosigned(bytes), Malformed));
    const about = Buffer.from(JSON.stringify({ authority: 'https://time.test', hashes: [] }));
    holds('files of bundles', near(about), (bytes) => reads(() => readTimestampAbout(bytes), Malformed));
    const entry = Buffer.from(JSON.stringify({ tree: 'p0', note: 'a note', terms: leafHash(leaf).toString('hex') }));
    holds('files of bundles', near(entry), (bytes) => readRootLeaf(bytes) !== undefined);
  });

  it('read lines of hidden leaves and summaries of blocks in one spelling', () => {
    holds('hidden leaves', near(Buffer.from(redactedLine(77n, leafHash(leaf))), '"i":"'), (bytes) => {
      const read = parseRedacted(bytes);
      if (read !== undefined) expect(redactedLine(read.index, read.hash)).toBe(bytes.toString());
      return read !== undefined;
    });
    const terms = [{ type: 'actor', value: 'a' } as const, { type: 'story', value: 's' } as const];
    const summary = encodeSummary(
      leafHash(leaf),
      [1, 2, 3].map((n) => ({ hash: leafHash(Buffer.from([n])), terms: n === 2 ? terms : [] })),
    );
    holds('summaries', near(summary), (bytes) => {
      const read = decodeSummary(bytes);
      for (const places of read?.positions.values() ?? []) expect(places.every((place) => place < (read?.marks.length ?? 0))).toBe(true);
      return read !== undefined;
    });
  });

  it('find the same terms in a leaf by scanning as by parsing', () => {
    holds('leaves', near(leaf, '"storyId":"x"', '\\u0041', 'é'), (bytes) => {
      const terms = termsOfLeaf(bytes);
      let json = true;
      try {
        JSON.parse(bytes.toString());
      } catch {
        json = false;
      }
      if (json) expect(terms).toEqual(termsByParsing(bytes));
      return json;
    });
  });

  it("read witnesses' keys, cosignatures, requests and policies in one spelling", () => {
    const [cosigner, other] = [generateCosigner('witness.test/one'), generateCosigner('witness.test/two')];
    const errors = [MalformedKey, MalformedNote, UnverifiedNote, MalformedPolicy, MalformedRequest] as const;
    for (const [text, parse] of [
      [cosigner.verifier.vkey, (given: string) => parseCosignerKey(given).vkey],
      [cosigner.skey, (given: string) => parseCosignerSecret(given).skey],
    ] as const)
      holds('keys of witnesses', near(Buffer.from(text), other.verifier.vkey, 'PRIVATE+KEY+'), (bytes) => {
        const given = bytes.toString();
        return reads(() => expect(parse(given)).toBe(given), MalformedKey);
      });

    const note = content('data/p0/checkpoint').toString();
    const said = note.slice(0, note.indexOf('\n\n') + 1);
    const cosigned = withSignatures(note, [cosigner.cosign(said, 1_790_000_000), other.cosign(said, 1_790_000_001)]);
    holds('cosignatures', near(Buffer.from(cosigned), cosigned, '\u2014 ', '\u2014 witness.test/one AAAAAAA=\n'), (bytes) =>
      reads(
        () => {
          const { text, verified: by } = openNote(bytes.toString(), [testSigner.verifier, cosigner.verifier, other.verifier]);
          expect([text, by.length > 0]).toEqual([said, true]);
        },
        ...errors,
      ),
    );
    const request = formatAddCheckpoint({ old: treeSize(3), proof: [leafHash(leaf)], note: cosigned });
    holds('requests to witnesses', near(Buffer.from(request), 'old ', request), (bytes) =>
      reads(
        () => {
          const text = bytes.toString();
          expect(formatAddCheckpoint(parseAddCheckpoint(text))).toBe(text);
        },
        ...errors,
      ),
    );
    const policy = formatPolicy(
      parsePolicy(
        `log ${testSigner.verifier.vkey} http://log.test/\nwitness a ${cosigner.verifier.vkey} http://a.test/w\nwitness b ${other.verifier.vkey}\ngroup g 1 a b\nquorum g\n`,
      ),
    );
    holds('policies', near(Buffer.from(policy), policy, 'group ', 'witness ', ' any ', '# x\n', 'quorum none\n'), (bytes) =>
      reads(() => {
        const written = formatPolicy(parsePolicy(bytes.toString()));
        expect(formatPolicy(parsePolicy(written))).toBe(written);
      }, MalformedPolicy),
    );
  });

  it('never end the verifier of a bundle', async () => {
    const { vkey } = testSigner.verifier;
    await fc.assert(
      fc.asyncProperty(near(bundle, 'ustar\x0000', '"tree":"root"'), async (bytes) => {
        expect((await verifyBundle(streamed(bytes, 4_096), { vkey })).ok).toBe(bytes.equals(bundle));
      }),
      { numRuns: BUNDLES },
    );
    counted['bundles'] = BUNDLES;
  });
});
