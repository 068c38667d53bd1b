import { createHash } from 'node:crypto';
import { isLong } from '../../../../test/support/requirement.js';
import { verified } from '../../../../test/support/verification.js';
import { Frontier } from './frontier.js';
import { EMPTY_ROOT, leafHash, leafIndex, nodeHash, treeSize, type Hash } from './hash.js';
import {
  checkConsistency,
  checkInclusion,
  cover,
  proveConsistency,
  proveInclusion,
  proveRange,
  rootOf,
  treeRoot,
  type HashReader,
} from './proof.js';

const LARGEST = 130;
/** Every bit of every hash takes minutes: otherwise some of them. */
const EVERY_BIT = isLong;
jest.setTimeout(EVERY_BIT ? 3_600_000 : 60_000);
const sha = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

/** RFC 6962 §2.1 word for word, of the entries D[from:to]: the oracle. */
const known = new Map<string, Buffer>();
function merkleTreeHash(from: number, to: number): Buffer {
  const key = `${from}:${to}`;
  let hash = known.get(key);
  if (hash !== undefined) return hash;
  const k = largestPowerBelow(to - from);
  if (from === to) hash = sha();
  else if (to - from === 1) hash = sha(Buffer.from([0]), entries[from] as Buffer);
  else hash = sha(Buffer.from([1]), merkleTreeHash(from, from + k), merkleTreeHash(from + k, to));
  known.set(key, hash);
  return hash;
}
function largestPowerBelow(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}
/** RFC 6962 §2.1.1 PATH(m, D[from:to]). */
function path(m: number, from: number, to: number): Buffer[] {
  if (to - from === 1) return [];
  const k = largestPowerBelow(to - from);
  return m < k
    ? [...path(m, from, from + k), merkleTreeHash(from + k, to)]
    : [...path(m - k, from + k, to), merkleTreeHash(from, from + k)];
}
/** RFC 6962 §2.1.2 SUBPROOF(m, D[from:to], b). */
function subproof(m: number, from: number, to: number, whole: boolean): Buffer[] {
  if (m === to - from) return whole ? [] : [merkleTreeHash(from, to)];
  const k = largestPowerBelow(to - from);
  return m <= k
    ? [...subproof(m, from, from + k, whole), merkleTreeHash(from + k, to)]
    : [...subproof(m - k, from + k, to, false), merkleTreeHash(from, from + k)];
}

const entries = Array.from({ length: LARGEST }, (_, i) => Buffer.from(`entry ${i}`));
const roots = Array.from({ length: LARGEST + 1 }, (_, n) => merkleTreeHash(0, n));

function storage(): { readonly reader: HashReader; readonly calls: () => number } {
  const stored = new Map<string, Hash>();
  const frontier = new Frontier();
  for (const entry of entries) frontier.append(leafHash(entry), (node, hash) => stored.set(`${node.level}/${node.index}`, hash));
  let calls = 0;
  return {
    reader: {
      readHashes: (nodes) => {
        calls++;
        return Promise.resolve(nodes.map((node) => stored.get(`${node.level}/${node.index}`) as Hash));
      },
    },
    calls: () => calls,
  };
}
function* flips(hashes: readonly Hash[]): Generator<Hash[]> {
  for (let h = 0; h < hashes.length; h++) {
    for (let bit = 0; bit < 256; bit++) {
      const flipped = hashes.map((hash) => Buffer.from(hash));
      (flipped[h] as Buffer)[bit >> 3]! ^= 1 << (bit & 7);
      yield flipped;
    }
  }
}
const everyBit = Array.from({ length: 256 }, (_, bit) => bit);
const someBits = (h: number): number[] => [(h * 97 + 31) % 256];
/** Every hash of the proof with some of its bits flipped, in the long form with every one. */
function* manyFlips(hashes: readonly Hash[], salt: number): Generator<Hash[]> {
  for (let h = 0; h < hashes.length; h++) {
    for (const bit of EVERY_BIT ? everyBit : someBits(h + salt)) {
      const flipped = [...hashes];
      const changed = Buffer.from(hashes[h] as Hash);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      flipped[h] = changed;
      yield flipped;
    }
  }
}

describe('RFC 6962 hashing', () => {
  it('gives the known roots of the empty tree and of the eight public test entries', () => {
    expect(EMPTY_ROOT.toString('hex')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(leafHash(Buffer.alloc(0)).toString('hex')).toBe('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
    const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
    const frontier = new Frontier();
    for (const input of inputs) frontier.append(leafHash(Buffer.from(input, 'hex')));
    expect(frontier.root().toString('hex')).toBe('5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328');
  });

  it('separates leaves from nodes', () => {
    const left = leafHash(Buffer.from('a'));
    const right = leafHash(Buffer.from('b'));
    expect(leafHash(Buffer.concat([left, right])).equals(nodeHash(left, right))).toBe(false);
  });

  it('covers a range with complete subtrees, in order and without a gap', () => {
    for (let from = 0n; from <= 40n; from++) {
      for (let to = from; to <= 40n; to++) {
        let at = from;
        for (const node of cover(from, to)) {
          expect(node.index << BigInt(node.level)).toBe(at);
          at += 1n << BigInt(node.level);
        }
        expect(at).toBe(to);
      }
    }
  });

  it('counts beyond 2^31 and 2^53 without losing a bit', () => {
    const half = 2n ** 61n;
    const shape = cover(0n, half + 5n);
    expect(shape.map((node) => node.level)).toEqual([61, 2, 0]);
    const hashes = shape.map((_, i) => leafHash(Buffer.from([i])));
    const frontier = new Frontier(half + 5n, hashes);
    frontier.append(leafHash(Buffer.from('last')));
    expect(frontier.size).toBe(half + 6n);
    expect(frontier.hashes).toHaveLength(3);
  });
});

describe('the frontier', () => {
  it('has the root of RFC 6962 at every size, also when it is continued from its hashes', () => {
    let frontier = new Frontier();
    for (let n = 0; n < LARGEST; n++) {
      expect(frontier.root()).toEqual(roots[n]);
      frontier = new Frontier(frontier.size, frontier.hashes);
      frontier.append(leafHash(entries[n] as Buffer));
    }
    expect(frontier.root()).toEqual(roots[LARGEST]);
  });

  it('refuses a wrong number of hashes and a subtree out of place', () => {
    expect(() => new Frontier(3n, [EMPTY_ROOT])).toThrow(RangeError);
    const frontier = new Frontier(1n, [EMPTY_ROOT]);
    expect(() => frontier.appendSubtree(1, EMPTY_ROOT)).toThrow(RangeError);
  });

  it('proves every run of leaves with the hashes left and right of it', async () => {
    const { reader } = storage();
    for (const size of [1, 2, 7, 16, 33, EVERY_BIT ? LARGEST : 64]) {
      for (let from = 0; from <= size; from++) {
        for (let to = from; to <= size; to += 1 + (to % 3)) {
          const proof = await proveRange(reader, treeSize(size), leafIndex(from), leafIndex(to));
          const frontier = new Frontier(BigInt(from), proof.left);
          for (const entry of entries.slice(from, to)) frontier.append(leafHash(entry));
          cover(BigInt(to), BigInt(size)).forEach((node, i) => frontier.appendSubtree(node.level, proof.right[i] as Hash));
          expect(frontier.root()).toEqual(roots[size]);
        }
      }
    }
  });
});

describe('inclusion proofs', () => {
  it(`equal RFC 6962 for all leaves of all trees up to ${LARGEST}, in one read, and no flipped bit passes`, async () => {
    const figures = await verified(`5.1 inclusion proofs of trees up to ${LARGEST}`, async () => {
      const { reader, calls } = storage();
      const counted = { trees: LARGEST, proofs: 0, mutations: 0, wrong: 0 };
      const refused = (accepted: boolean): void => {
        counted.mutations++;
        if (accepted) counted.wrong++;
      };
      for (let n = 1; n <= LARGEST; n++) {
        const root = roots[n] as Hash;
        for (let i = 0; i < n; i++) {
          const leaf = leafHash(entries[i] as Buffer);
          const proof = await proveInclusion(reader, treeSize(n), leafIndex(i));
          counted.proofs++;
          if (Buffer.compare(Buffer.concat(proof), Buffer.concat(path(i, 0, n))) !== 0) counted.wrong++;
          if (!checkInclusion(proof, treeSize(n), root, leafIndex(i), leaf)) counted.wrong++;
          for (const flipped of manyFlips([...proof, root, leaf], i)) {
            const hashes = flipped.slice(0, -2);
            refused(checkInclusion(hashes, treeSize(n), flipped.at(-2) as Hash, leafIndex(i), flipped.at(-1) as Hash));
          }
          refused(checkInclusion([...proof, root], treeSize(n), root, leafIndex(i), leaf));
          refused(checkInclusion([root, ...proof], treeSize(n), root, leafIndex(i), leaf));
          if (proof.length > 0) refused(checkInclusion(proof.slice(1), treeSize(n), root, leafIndex(i), leaf));
          if (n > 1) refused(checkInclusion(proof, treeSize(n), root, leafIndex(i ^ 1), leaf));
        }
      }
      expect(calls()).toBe(counted.proofs);
      expect(counted.wrong).toBe(0);
      return counted;
    });
    expect(figures).toMatchObject({ proofs: (LARGEST * (LARGEST + 1)) / 2, wrong: 0 });
  });

  it('fail for every single bit of every hash', async () => {
    const { reader } = storage();
    const proof = await proveInclusion(reader, treeSize(37), leafIndex(34));
    let accepted = 0;
    let tried = 0;
    for (const flipped of flips([...proof, roots[37] as Hash, leafHash(entries[34] as Buffer)])) {
      tried++;
      if (checkInclusion(flipped.slice(0, -2), treeSize(37), flipped.at(-2) as Hash, leafIndex(34), flipped.at(-1) as Hash)) accepted++;
    }
    expect([tried, accepted]).toEqual([(proof.length + 2) * 256, 0]);
  });

  it('are refused outside the tree and answered false for hostile hashes', async () => {
    await expect(proveInclusion(storage().reader, treeSize(3), leafIndex(3))).rejects.toThrow(RangeError);
    expect(checkInclusion([], treeSize(0), EMPTY_ROOT, leafIndex(0), EMPTY_ROOT)).toBe(false);
    expect(checkInclusion([Buffer.alloc(31)], treeSize(2), EMPTY_ROOT, leafIndex(0), EMPTY_ROOT)).toBe(false);
  });
});

describe('consistency proofs', () => {
  it(`equal RFC 6962 for all pairs of trees up to ${LARGEST}, in one read, and no flipped bit passes`, async () => {
    const figures = await verified(`5.1 consistency proofs of trees up to ${LARGEST}`, async () => {
      const { reader, calls } = storage();
      const counted = { trees: LARGEST, proofs: 0, mutations: 0, wrong: 0 };
      const refused = (accepted: boolean): void => {
        counted.mutations++;
        if (accepted) counted.wrong++;
      };
      for (let n = 1; n <= LARGEST; n++) {
        const newRoot = roots[n] as Hash;
        for (let m = 1; m <= n; m++) {
          const oldRoot = roots[m] as Hash;
          const proof = await proveConsistency(reader, treeSize(n), treeSize(m));
          counted.proofs++;
          if (Buffer.compare(Buffer.concat(proof), Buffer.concat(subproof(m, 0, n, true))) !== 0) counted.wrong++;
          if (!checkConsistency(proof, treeSize(n), newRoot, treeSize(m), oldRoot)) counted.wrong++;
          for (const flipped of manyFlips([...proof, newRoot, oldRoot], m))
            refused(checkConsistency(flipped.slice(0, -2), treeSize(n), flipped.at(-2) as Hash, treeSize(m), flipped.at(-1) as Hash));
          refused(checkConsistency([...proof, newRoot], treeSize(n), newRoot, treeSize(m), oldRoot));
          if (m < n) refused(checkConsistency(proof, treeSize(n), oldRoot, treeSize(m), newRoot));
        }
      }
      expect(calls()).toBe(counted.proofs);
      expect(counted.wrong).toBe(0);
      return counted;
    });
    expect(figures).toMatchObject({ proofs: (LARGEST * (LARGEST + 1)) / 2, wrong: 0 });
  });

  it('are not asked from the empty tree and never accepted for it', async () => {
    await expect(proveConsistency(storage().reader, treeSize(3), treeSize(0))).rejects.toThrow(RangeError);
    expect(checkConsistency([], treeSize(3), roots[3] as Hash, treeSize(0), EMPTY_ROOT)).toBe(false);
    expect(checkConsistency([], treeSize(2), roots[2] as Hash, treeSize(3), roots[3] as Hash)).toBe(false);
  });

  it('have the root that the store computes', async () => {
    expect(await treeRoot(storage().reader, treeSize(LARGEST))).toEqual(roots[LARGEST]);
    expect(rootOf([])).toEqual(EMPTY_ROOT);
  });
});
