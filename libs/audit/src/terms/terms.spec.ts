import fc from 'fast-check';
import { writtenHistory } from '../testing/histories.js';
import { canonicalJson, type Json } from '#lib/canonical';
import type { Leaf } from '../leaf.js';
import { termsByParsing } from './leaf-terms.js';
import { leafHash, rootOf } from '../tlog/index.js';
import { Auditor } from '../auditor.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import {
  BLOCK_LEAVES,
  blocksOf,
  decodeSummary,
  encodeSummary,
  markOf,
  MAX_SUMMARY_BYTES,
  positionsOf,
  termsOfLeaf,
  TermTree,
  type Term,
} from './index.js';

const word = fc.string({ minLength: 1, maxLength: 12 }).filter((text) => !text.includes('\0'));
const term = fc.record({ type: fc.constantFrom('stream', 'actor', 'correlation', 'story'), value: word }) as fc.Arbitrary<Term>;
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes): Buffer => Buffer.from(bytes));
const blockLeaves = fc.array(fc.record({ hash, terms: fc.array(term, { maxLength: 6 }) }), { minLength: 1, maxLength: 40 });
const bytesOf = (n: number, terms: readonly Term[]): Buffer => {
  const one = (type: Term['type']): string | undefined => terms.find((each) => each.type === type)?.value;
  const leaf = {
    n,
    envelope: { stream: one('stream') },
    actor: { id: one('actor') },
    correlationId: one('correlation'),
    events: terms.filter(({ type }) => type === 'story').map(({ value }) => ({ storyId: value })),
  };
  return Buffer.from(JSON.stringify(leaf));
};

describe('The summary of a block', () => {
  it('lists for every term exactly the leaves that have it, and nothing for others', () => {
    fc.assert(
      fc.property(blockLeaves, hash, term, (leaves, of, other) => {
        const summary = decodeSummary(encodeSummary(of, leaves));
        if (summary === undefined) throw new Error('not read back');
        expect(summary.salt).toEqual(of);
        expect(summary.marks).toEqual(leaves.map((leaf) => markOf(leaf.hash)));
        for (const wanted of [...leaves.flatMap(({ terms }) => terms), other]) {
          const expected = leaves.flatMap(({ terms }, i) =>
            terms.some(({ type, value }) => type === wanted.type && value === wanted.value) ? [i] : [],
          );
          expect(positionsOf(summary, wanted)).toEqual(expected);
        }
      }),
    );
  });

  it('has one spelling: bytes that are read are what would be written, all others are refused', () => {
    fc.assert(
      fc.property(blockLeaves, hash, fc.nat(), fc.integer({ min: 1, max: 255 }), (leaves, of, at, flip) => {
        const bytes = encodeSummary(of, leaves);
        const changed = Buffer.from(bytes);
        changed[at % bytes.length]! ^= flip;
        const read = decodeSummary(changed);
        if (read === undefined) return;
        const keys = [...read.positions.keys()];
        expect(keys).toEqual(keys.toSorted());
        expect(37 + 4 * read.marks.length + [...read.positions.values()].reduce((sum, places) => sum + 9 + places.length, 0)).toBe(
          changed.length,
        );
        for (const places of read.positions.values()) {
          expect(places.length).toBeGreaterThan(0);
          expect(places).toEqual([...new Set(places)].toSorted((a, b) => a - b));
          expect(places.at(-1)).toBeLessThan(read.marks.length);
        }
      }),
    );
    const bytes = encodeSummary(Buffer.alloc(32), [
      { hash: Buffer.alloc(32, 7), terms: [{ type: 'actor', value: 'a' }] },
      { hash: Buffer.alloc(32, 8), terms: [] },
    ]);
    for (const wrong of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.from([0])]), Buffer.alloc(0), Buffer.alloc(41)])
      expect(decodeSummary(wrong)).toBeUndefined();
  });

  it('keeps one term unrecognisable from block to block, and tells types apart', () => {
    const leaves = [{ hash: Buffer.alloc(32), terms: [{ type: 'actor', value: 'x' } as const] }];
    expect(encodeSummary(Buffer.alloc(32, 1), leaves)).not.toEqual(encodeSummary(Buffer.alloc(32, 2), leaves));
    const summary = decodeSummary(encodeSummary(Buffer.alloc(32), leaves));
    expect(summary && positionsOf(summary, { type: 'story', value: 'x' })).toEqual([]);
  });

  it('of the fullest block fits its bound', () => {
    const full = Array.from({ length: BLOCK_LEAVES }, (_, i) => ({
      hash: Buffer.alloc(32, i),
      terms: Array.from({ length: 67 }, (__, n): Term => ({ type: 'story', value: `${i}-${n}` })),
    }));
    expect(encodeSummary(Buffer.alloc(32), full).length).toBe(MAX_SUMMARY_BYTES);
    expect(decodeSummary(encodeSummary(Buffer.alloc(32), full))?.positions.size).toBe(256 * 67);
  });
});

describe('The terms of a leaf', () => {
  it('are its stream, actor, correlation and the stories of its events, each once', () => {
    fc.assert(
      fc.property(fc.array(term, { maxLength: 8 }), (terms) => {
        const found = termsOfLeaf(bytesOf(1, terms));
        for (const type of ['stream', 'actor', 'correlation'] as const)
          expect(found.filter((each) => each.type === type).map(({ value }) => value)).toEqual(
            terms
              .filter((each) => each.type === type)
              .slice(0, 1)
              .map(({ value }) => value),
          );
        expect(found.filter((each) => each.type === 'story').map(({ value }) => value)).toEqual([
          ...new Set(terms.filter((each) => each.type === 'story').map(({ value }) => value)),
        ]);
      }),
    );
  });

  it('are those that a search finds it by', async () => {
    const { log } = await writtenHistory(3, 30, 1);
    const store = new MemoryAuditStore();
    await new Auditor({ log, store, timers: { after: () => () => undefined } }).catchUp(0);
    let seen = 0;
    for await (const { leaves } of store.leaves('p0', 0n, 10n ** 9n))
      for (const leaf of leaves) {
        const terms = new Map(termsOfLeaf(leaf.bytes).map(({ type, value }) => [type, value]));
        expect([terms.get('stream'), terms.get('actor'), terms.get('correlation')]).toEqual([
          leaf.stream ?? undefined,
          leaf.actor ?? undefined,
          leaf.correlationId ?? undefined,
        ]);
        if (terms.get('story') === 'the-tower') seen++;
      }
    expect(seen).toBeGreaterThan(50);
  });

  it('are read quickly just as by parsing, whatever the names hold', async () => {
    const { log } = await writtenHistory(4, 4, 1);
    const store = new MemoryAuditStore();
    await new Auditor({ log, store, timers: { after: () => () => undefined } }).catchUp(0);
    const leaves = (store.trees.get('p0')?.leaves ?? []).map(({ bytes }) => bytes);
    expect(leaves.length).toBeGreaterThan(10);
    for (const bytes of leaves) expect(termsOfLeaf(bytes)).toEqual(termsByParsing(bytes));
    const name = fc.oneof(
      fc.string({ maxLength: 8 }),
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.constantFrom('"storyId":"x"', '\\', 'ß', ''),
    );
    const some = leaves.find((bytes) => bytes.includes('"storyId"')) as Buffer;
    fc.assert(
      fc.property(name, name, name, fc.array(name, { maxLength: 3 }), (actor, correlationId, passage, stories) => {
        const leaf = JSON.parse(some.toString()) as Leaf;
        const role = leaf.actor?.role ?? '';
        const events = stories.map((storyId) => ({ passage, storyId, type: 'ChoiceMade', v: 1 }));
        const bytes = Buffer.from(canonicalJson({ ...leaf, actor: { id: actor, role }, correlationId, events } as unknown as Json));
        expect(termsOfLeaf(bytes)).toEqual(termsByParsing(bytes));
      }),
    );
    // A stranger's bytes may end anywhere.
    for (let end = 0; end < some.length; end++) expect(termsOfLeaf(some.subarray(0, end)).length).toBeLessThan(5);
  });

  it('of bytes that are no leaf are none', () => {
    for (const text of ['', 'null', '[]', '{"events":[null,{"storyId":5}],"actor":{"id":{"omitted":300}}}', '{"actor":{"id":""}}'])
      expect(termsOfLeaf(Buffer.from(text))).toEqual([]);
  });
});

describe('The tree over the summaries', () => {
  it('is the same from any full block on, whatever the size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1100 }), fc.nat(), (size, from) => {
        const whole = new TermTree();
        const blocks = [];
        const entries: Buffer[] = [];
        const at = from % (Math.floor(size / 256) + 1);
        let later: TermTree | undefined = at === 0 ? new TermTree() : undefined;
        for (let i = 0; i < size; i++) {
          const bytes = bytesOf(i, [{ type: 'actor', value: `a${i % 7}` }]);
          const hash = leafHash(bytes);
          later?.append(bytes, hash);
          const block = whole.append(bytes, hash);
          if (block === undefined) continue;
          blocks.push(block);
          entries.push(block.summary);
          if (blocks.length === at) later = new TermTree(BigInt(at), block.frontier);
        }
        expect(whole.size).toBe(BigInt(size));
        expect(blocks.map(({ block }) => Number(block))).toEqual(blocks.map((_, i) => i));
        const partial = whole.partial();
        if (partial !== undefined) entries.push(partial);
        expect(BigInt(entries.length)).toBe(blocksOf(BigInt(size)));
        expect(later?.root()).toEqual(whole.root());
        expect(whole.root()).toEqual(merkle(entries));
      }),
      { numRuns: 15 },
    );
  });
});

/** By the book (RFC 6962 §2.1). */
function merkle(entries: readonly Buffer[]): Buffer {
  const [only] = entries;
  if (only === undefined) return rootOf([]);
  if (entries.length === 1) return leafHash(only);
  let k = 1;
  while (k * 2 < entries.length) k *= 2;
  return rootOf([merkle(entries.slice(0, k)), merkle(entries.slice(k))]);
}
