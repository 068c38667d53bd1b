import { Frontier } from './frontier.js';
import { EMPTY_ROOT, leafHash, treeSize, type Hash, type LeafIndex, type TreeSize } from './hash.js';
import { checkConsistency, checkInclusion, proveConsistency, proveInclusion, type HashReader } from './proof.js';

/*
 * The eight public inputs of certificate transparency's tests, and the ways in which the public vectors of transparency logs spoil a proof,
 * made anew here for every proof that there is of trees up to eight leaves.
 */
const INPUTS = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
].map((hex) => Buffer.from(hex, 'hex'));
const leaves = INPUTS.map((hex) => leafHash(Buffer.from(hex, 'hex')));

const hashes = new Map<string, Hash>();
const frontier = new Frontier();
const computed: Hash[] = [frontier.root()];
for (const leaf of leaves) {
  frontier.append(leaf, ({ level, index }, hash) => hashes.set(`${level}/${index}`, hash));
  computed.push(frontier.root());
}
const reader: HashReader = {
  readHashes: (nodes) => Promise.resolve(nodes.map(({ level, index }) => hashes.get(`${level}/${index}`) as Hash)),
};
const flipped = (hash: Hash): Hash => {
  const other = Buffer.from(hash);
  other[10]! ^= 4;
  return other;
};
const random = leafHash(Buffer.from('of no tree'));

/** Every way to spoil a list of hashes, by name; `roots` are those of the proof. */
function* spoiltLists(proof: readonly Hash[], roots: readonly Hash[]): Generator<[string, readonly Hash[]]> {
  for (const [name, hash] of [
    ...roots.map((root, i) => [`root ${i}`, root] as const),
    ['empty hash', Buffer.alloc(0)],
    ['random', random],
  ] as const) {
    yield [`trailing ${name}`, [...proof, hash]];
    yield [`preceding ${name}`, [hash, ...proof]];
  }
  if (proof.length > 0) {
    yield ['last component removed', proof.slice(0, -1)];
    yield ['first component removed', proof.slice(1)];
    yield ['all components removed', []];
    yield ['last component doubled', [...proof, proof.at(-1) as Hash]];
    yield ['first component doubled', [proof[0] as Hash, ...proof]];
  }
  for (let i = 0; i < proof.length; i++) {
    const hash = proof[i] as Hash;
    yield [`bit flipped in component ${i}`, proof.with(i, flipped(hash))];
    yield [`component ${i} truncated`, proof.with(i, hash.subarray(0, 31))];
    yield [`component ${i} extended`, proof.with(i, Buffer.concat([hash, Buffer.alloc(1)]))];
    yield [`component ${i} replaced by random`, proof.with(i, random)];
    yield [`component ${i} removed`, proof.toSpliced(i, 1)];
    yield [`random inserted before component ${i}`, proof.toSpliced(i, 0, random)];
    if (i > 0) yield [`components ${i - 1} and ${i} swapped`, proof.with(i, proof[i - 1] as Hash).with(i - 1, hash)];
  }
}

describe('the eight public inputs', () => {
  it('give the public roots of all their trees', () => {
    expect(computed).toEqual(ROOTS);
    expect(computed[0]).toEqual(EMPTY_ROOT);
  });

  it('have inclusion proofs that no known mutation survives', async () => {
    const accepted: string[] = [];
    let refused = 0;
    let proofs = 0;
    for (let n = 1; n <= 8; n++) {
      for (let i = 0; i < n; i++) {
        const [root, leaf] = [ROOTS[n] as Hash, leaves[i] as Hash];
        const proof = await proveInclusion(reader, treeSize(n), BigInt(i) as LeafIndex);
        if (checkInclusion(proof, treeSize(n), root, BigInt(i) as LeafIndex, leaf)) proofs++;
        const spoilt = (name: string, list = proof as readonly Hash[], size = n, index = i, top = root, bottom = leaf): void => {
          if (checkInclusion(list, BigInt(size) as TreeSize, top, BigInt(index) as LeafIndex, bottom))
            accepted.push(`${i} of ${n}: ${name}`);
          else refused++;
        };
        for (const [name, list] of spoiltLists(proof, [root])) spoilt(name, list);
        for (const [name, index] of [
          ['- 1', i - 1],
          ['+ 1', i + 1],
          ['XOR 2', i ^ 2],
          ['XOR 1', i ^ 1],
          ['= size', n],
          ['negative', -1],
        ] as const)
          spoilt(`index ${name}`, proof, n, index);
        for (const [name, size] of [
          ['× 2', n * 2],
          ['/ 2', n >> 1],
          ['0', 0],
        ] as const)
          spoilt(`size ${name}`, proof, size);
        for (const [name, hash] of [
          ['empty', Buffer.alloc(0)],
          ['flipped', flipped(root)],
          ['random', random],
          ['truncated', root.subarray(1)],
        ] as const)
          spoilt(`root ${name}`, proof, n, i, hash);
        if (!root.equals(leaf)) {
          spoilt('root and leaf swapped', proof, n, i, leaf, root);
          spoilt('leaf for root', proof, n, i, leaf);
          spoilt('root for leaf', proof, n, i, root, root);
        }
        spoilt('leaf flipped', proof, n, i, root, flipped(leaf));
        spoilt('leaf of another', proof, n, i, root, leaves[(i + 1) % 8]);
        spoilt('root of another tree', proof, n, i, ROOTS[(n + 1) % 9]);
      }
    }
    expect(accepted).toEqual([]);
    expect(proofs).toBe(36);
    expect(refused).toBeGreaterThan(1_000);
  });

  it('have consistency proofs that no known mutation survives', async () => {
    const accepted: string[] = [];
    let refused = 0;
    let proofs = 0;
    for (let n = 1; n <= 8; n++) {
      for (let m = 1; m <= n; m++) {
        const [newRoot, oldRoot] = [ROOTS[n] as Hash, ROOTS[m] as Hash];
        const proof = await proveConsistency(reader, treeSize(n), treeSize(m));
        if (checkConsistency(proof, treeSize(n), newRoot, treeSize(m), oldRoot)) proofs++;
        const spoilt = (name: string, list = proof as readonly Hash[], to = n, from = m, top = newRoot, bottom = oldRoot): void => {
          if (checkConsistency(list, BigInt(to) as TreeSize, top, BigInt(from) as TreeSize, bottom)) accepted.push(`${m} to ${n}: ${name}`);
          else refused++;
        };
        for (const [name, list] of spoiltLists(proof, [newRoot, oldRoot])) spoilt(name, list);
        for (const [name, from] of [
          ['- 1', m - 1],
          ['+ 1', m + 1],
          ['XOR 2', m ^ 2],
          ['0', 0],
          ['× 2', m * 2],
          ['negative', -1],
        ] as const)
          if (from !== m) spoilt(`old size ${name}`, proof, n, from);
        for (const [name, to] of [
          ['× 2', n * 2],
          ['/ 2', n >> 1],
          ['0', 0],
        ] as const)
          spoilt(`new size ${name}`, proof, to);
        for (const hash of [Buffer.alloc(0), random, EMPTY_ROOT, newRoot.subarray(1)]) {
          spoilt('another new root', proof, n, m, hash);
          spoilt('another old root', proof, n, m, newRoot, hash);
        }
        spoilt('new root flipped', proof, n, m, flipped(newRoot));
        spoilt('old root flipped', proof, n, m, newRoot, flipped(oldRoot));
        if (m < n) {
          spoilt('both roots flipped', proof, n, m, flipped(newRoot), flipped(oldRoot));
          spoilt('roots swapped', proof, n, m, oldRoot, newRoot);
          spoilt('old root for both', proof, n, m, oldRoot, oldRoot);
          spoilt('new root for both', proof, n, m, newRoot, newRoot);
          spoilt('sizes swapped', proof, m, n);
        }
      }
    }
    expect(accepted).toEqual([]);
    expect(proofs).toBe(36);
    expect(refused).toBeGreaterThan(1_000);
  });
});
