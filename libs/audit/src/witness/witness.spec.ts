import * as fc from 'fast-check';
import {
  cosignedAt,
  EMPTY_ROOT,
  Frontier,
  generateCosigner,
  generateSigner,
  leafHash,
  openNote,
  parseCosignerKey,
  parseCosignerSecret,
  parseSignatureLines,
  proveConsistency,
  signCheckpointNote,
  signNote,
  treeRoot,
  treeSize,
  UnverifiedNote,
  withSignatures,
  type Hash,
  type HashReader,
} from '../tlog/index.js';
import { formatAddCheckpoint, MalformedRequest, parseAddCheckpoint, type AddCheckpoint } from './add-checkpoint.js';
import { Witness, type WitnessAnswer, type WitnessState } from './witness.js';

const RUNS = process.env['FABULA_TEST_LONG'] === undefined ? 300 : 20_000;
const ORIGIN = 'fabula.test/log/root';
const signer = generateSigner('fabula.test');
const cosigner = generateCosigner('witness.test/one');
const NOW = 1_800_000_000_000;

/** Trees that share their first leaves up to where one of them turns aside. */
function history(leaves: readonly string[]): {
  note: (size: number) => string;
  proof: (old: number, size: number) => Promise<readonly Hash[]>;
} {
  const hashes = new Map<string, Hash>();
  const frontier = new Frontier();
  const roots = [frontier.root()];
  for (const leaf of leaves) {
    frontier.append(leafHash(Buffer.from(leaf)), ({ level, index }, hash) => hashes.set(`${level}/${index}`, hash));
    roots.push(frontier.root());
  }
  const reader: HashReader = {
    readHashes: (nodes) => Promise.resolve(nodes.map(({ level, index }) => hashes.get(`${level}/${index}`) as Hash)),
  };
  return {
    note: (size) => signCheckpointNote({ origin: ORIGIN, size: treeSize(size), root: roots[size] as Hash }, signer),
    proof: (old, size) => (old === 0 || old === size ? Promise.resolve([]) : proveConsistency(reader, treeSize(size), treeSize(old))),
  };
}
const LEAVES = Array.from({ length: 40 }, (_, n) => `leaf ${n}`);
const honest = history(LEAVES);
const forged = history(LEAVES.map((leaf, n) => (n < 7 ? leaf : `other ${leaf}`)));

class MemoryState implements WitnessState {
  readonly notes = new Map<string, string>();
  latest(origin: string): string | undefined {
    return this.notes.get(origin);
  }
  keep(origin: string, note: string): Promise<void> {
    this.notes.set(origin, note);
    return Promise.resolve();
  }
}
const witnessOf = (state: WitnessState = new MemoryState(), onContradiction?: (seen: { readonly kept: string }) => void): Witness =>
  new Witness({
    cosigner,
    logs: [{ origin: ORIGIN, verifiers: [signer.verifier] }],
    state,
    clock: { now: () => NOW },
    ...(onContradiction === undefined ? {} : { onContradiction }),
  });
async function body(old: number, size: number, from = honest): Promise<string> {
  return formatAddCheckpoint({ old: treeSize(old), proof: await from.proof(old, size), note: from.note(size) });
}

describe('cosignatures', () => {
  const note = honest.note(5);

  it('bind the text and the time, under a key of their own type', () => {
    const { text } = openNote(note, [signer.verifier]);
    const one = cosigner.cosign(text, 1_700_000_000);
    const cosigned = withSignatures(note, [one]);
    expect(openNote(cosigned, [cosigner.verifier]).verified).toEqual([one]);
    expect(cosignedAt(one.signature)).toBe(1_700_000_000);
    for (let at = 0; at < one.signature.length; at++) {
      const signature = Buffer.from(one.signature);
      signature[at]! ^= 1;
      expect(() => openNote(withSignatures(note, [{ ...one, signature }]), [cosigner.verifier])).toThrow(UnverifiedNote);
    }
    expect(parseCosignerKey(cosigner.verifier.vkey).vkey).toBe(cosigner.verifier.vkey);
    expect(parseCosignerSecret(cosigner.skey).skey).toBe(cosigner.skey);
    expect(() => parseCosignerKey(signer.verifier.vkey)).toThrow('not a witness key');
    expect(() => parseCosignerSecret(signer.skey)).toThrow('not a witness key');
  });

  it('agree with the example of C2SP tlog-cosignature in form: 8 bytes of time and 64 of signature behind the key id', () => {
    const blob = Buffer.from(
      'jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==',
      'base64',
    );
    expect(cosignedAt(blob.subarray(4))).toBe(1_679_315_147);
    expect(cosignedAt(blob.subarray(5))).toBeUndefined();
  });
});

describe('a witness', () => {
  it('cosigns what continues what it cosigned, and remembers it before it answers', async () => {
    const state = new MemoryState();
    const witness = witnessOf(state);
    for (const [old, size] of [
      [0, 0],
      [0, 3],
      [3, 3],
      [3, 8],
      [8, 33],
      [33, 40],
    ] as const) {
      const answer = await witness.addCheckpoint(await body(old, size));
      expect([old, size, answer.status]).toEqual([old, size, 200]);
      const lines = answer.status === 200 ? parseSignatureLines(answer.lines) : [];
      expect(openNote(withSignatures(honest.note(size), lines), [cosigner.verifier]).verified).toHaveLength(1);
      expect(state.latest(ORIGIN)).toBe(withSignatures(honest.note(size), lines));
    }
  });

  it('answers what went wrong as the specification says, and forgets nothing over it', async () => {
    const state = new MemoryState();
    const contradictions: { readonly kept: string }[] = [];
    const witness = witnessOf(state, (seen) => contradictions.push(seen));
    expect((await witness.addCheckpoint(await body(0, 9))).status).toBe(200);
    const kept = state.latest(ORIGIN);
    const stranger = generateSigner('fabula.test');
    const foreign = signCheckpointNote({ origin: 'other.test/log', size: treeSize(9), root: EMPTY_ROOT }, signer);
    const unsigned = signCheckpointNote({ origin: ORIGIN, size: treeSize(12), root: EMPTY_ROOT }, stranger);
    const asked: readonly (readonly [string, string, WitnessAnswer])[] = [
      ['an old size that is not the last one', await body(5, 12), { status: 409, size: 9n }],
      ['a size of nothing', await body(0, 12), { status: 409, size: 9n }],
      ['the same size with another root', await body(9, 9, forged), { status: 409, size: 9n }],
      ['a fork that grew', await body(9, 20, forged), expect.objectContaining({ status: 422 }) as WitnessAnswer],
      [
        'a proof that is too long',
        (await body(9, 20)).replace('\n\n', `\n${EMPTY_ROOT.toString('base64')}\n\n`),
        expect.objectContaining({ status: 422 }) as WitnessAnswer,
      ],
      [
        'a smaller tree',
        await body(9, 9).then((text) => text.replace(honest.note(9), honest.note(5))),
        expect.objectContaining({ status: 400 }) as WitnessAnswer,
      ],
      ['a smaller tree from a smaller size', await body(5, 5), { status: 409, size: 9n }],
      [
        'an unknown log',
        formatAddCheckpoint({ old: treeSize(0), proof: [], note: foreign }),
        expect.objectContaining({ status: 404 }) as WitnessAnswer,
      ],
      [
        'an unknown key',
        formatAddCheckpoint({ old: treeSize(9), proof: [], note: unsigned }),
        expect.objectContaining({ status: 403 }) as WitnessAnswer,
      ],
      ['no request at all', 'hello', expect.objectContaining({ status: 400 }) as WitnessAnswer],
    ];
    for (const [what, text, expected] of asked) expect([what, await witness.addCheckpoint(text)]).toEqual([what, expected]);
    expect(state.latest(ORIGIN)).toBe(kept);
    // Those three with a good signature that cannot both be true with what it cosigned.
    expect(contradictions.map((seen) => seen.kept)).toEqual([kept, kept, kept]);
  });

  it('begins with an empty tree only when it is the empty tree', async () => {
    const wrong = signCheckpointNote({ origin: ORIGIN, size: treeSize(0), root: leafHash(Buffer.from('x')) }, signer);
    const ask = (note: string, proof: readonly Hash[] = []): string => formatAddCheckpoint({ old: treeSize(0), proof, note });
    expect((await witnessOf().addCheckpoint(ask(wrong))).status).toBe(422);
    expect((await witnessOf().addCheckpoint(ask(honest.note(3), [EMPTY_ROOT]))).status).toBe(422);
    expect((await witnessOf().addCheckpoint(ask(honest.note(0)))).status).toBe(200);
  });

  it("cosigns lines that a log adds to its note unread, and keeps no stranger's signature", async () => {
    const state = new MemoryState();
    const root = treeRoot({ readHashes: () => Promise.resolve([]) }, treeSize(0));
    const text = `${ORIGIN}\n0\n${(await root).toString('base64')}\nextension 1\n`;
    const note = signNote(text, signer, generateSigner('stranger.test'));
    expect((await witnessOf(state).addCheckpoint(`old 0\n\n${note}`)).status).toBe(200);
    expect(openNote(state.latest(ORIGIN) ?? '', [signer.verifier, cosigner.verifier]).signatures.map(({ name }) => name)).toEqual([
      signer.name,
      cosigner.name,
    ]);
  });

  it('answers nothing that it could not keep', async () => {
    const state = new MemoryState();
    const full = witnessOf({ latest: (origin) => state.latest(origin), keep: () => Promise.reject(new Error('disk full')) });
    await expect(full.addCheckpoint(await body(0, 4))).rejects.toThrow('disk full');
    // And goes on with the next.
    await expect(full.addCheckpoint(await body(0, 4))).rejects.toThrow('disk full');
    expect(state.latest(ORIGIN)).toBeUndefined();
  });

  it('does not start on what it did not cosign itself', async () => {
    const state = new MemoryState();
    await witnessOf(state).addCheckpoint(await body(0, 4));
    state.notes.set(ORIGIN, state.notes.get(ORIGIN)?.replace('\n4\n', '\n3\n') ?? '');
    expect(() => witnessOf(state)).toThrow(UnverifiedNote);
    state.notes.set(ORIGIN, honest.note(4));
    expect(() => witnessOf(state)).toThrow(UnverifiedNote);
  });

  it('never cosigns two histories, however requests of an honest and a forged log overlap and however it is started again', async () => {
    const step = fc.record({
      forged: fc.boolean(),
      size: fc.integer({ min: 0, max: 40 }),
      old: fc.option(fc.integer({ min: 0, max: 40 })),
      restart: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.boolean(), async (steps, together) => {
        // A state that takes a while, so that overlapping requests would overtake each other.
        const notes = new Map<string, string>();
        const state: WitnessState = {
          latest: (origin) => notes.get(origin),
          keep: async (origin, note) => {
            await new Promise((resolve) => setImmediate(resolve));
            notes.set(origin, note);
          },
        };
        let witness = witnessOf(state);
        const cosignedRoots: { size: number; forged: boolean }[] = [];
        const ask = async (one: (typeof steps)[number]): Promise<void> => {
          const from = one.forged ? forged : honest;
          let old = Math.min(one.old ?? 0, one.size);
          for (let tries = 0; tries < 2; tries++) {
            const answer = await witness.addCheckpoint(await body(old, one.size, from));
            if (answer.status === 200) return void cosignedRoots.push({ size: one.size, forged: one.forged });
            if (answer.status !== 409 || answer.size > BigInt(one.size)) return;
            old = Number(answer.size);
          }
        };
        if (together) await Promise.all(steps.map(ask));
        else
          for (const one of steps) {
            if (one.restart) witness = witnessOf(state);
            await ask(one);
          }
        const sizes = cosignedRoots.map(({ size }) => size);
        expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
        // Up to where they part the two histories are one.
        expect(new Set(cosignedRoots.filter(({ size }) => size > 7).map((one) => one.forged)).size).toBeLessThan(2);
      }),
      { numRuns: RUNS },
    );
  });
});

describe('the body of add-checkpoint', () => {
  it('has one spelling', async () => {
    const valid = await body(9, 33);
    const piece = fc.oneof(
      fc.constantFrom('old ', 'old 0', '9', '\n', '\n\n', ' ', 'A', EMPTY_ROOT.toString('base64'), valid, valid.slice(6)),
      fc.string(),
    );
    const parsed = (text: string): AddCheckpoint | undefined => {
      try {
        return parseAddCheckpoint(text);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedRequest);
        return undefined;
      }
    };
    expect(formatAddCheckpoint(parseAddCheckpoint(valid))).toBe(valid);
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const text = pieces.join('');
        const request = parsed(text);
        if (request !== undefined) expect(formatAddCheckpoint(request)).toBe(text);
      }),
      { numRuns: 10 * RUNS },
    );
    for (const wrong of [
      valid.replace('old 9', 'old 09'),
      valid.replace('old 9', 'old  9'),
      valid.replace('old 9', 'OLD 9'),
      valid.replace('\n\n', '\r\n\r\n'),
    ])
      expect(parsed(wrong)).toBeUndefined();
    const hash = `${EMPTY_ROOT.toString('base64')}\n`;
    expect(parsed(`old 1\n${hash.repeat(63)}\nnote`)?.proof).toHaveLength(63);
    expect(parsed(`old 1\n${hash.repeat(64)}\nnote`)).toBeUndefined();
  });

  it('never makes a witness throw, whatever is sent', async () => {
    const valid = await body(0, 9);
    await fc.assert(
      fc.asyncProperty(fc.nat(valid.length - 1), fc.constantFrom('', '\n', ' ', 'A', '0', '\u2014', '\ud800', '\0'), async (at, put) => {
        const text = valid.slice(0, at) + put + valid.slice(at + 1);
        const { status } = await witnessOf().addCheckpoint(text);
        expect(status === 200).toBe(text === valid);
      }),
      { numRuns: RUNS },
    );
  });
});
