import { Auditor } from '../auditor.js';
import { AuditStopped, type AuditStore, type Growth, type KeptNote, type StoredLeaf } from '../audit-store.js';
import type { ExportJob } from '../export-job.js';
import { playthroughStream, type SearchHit, type SearchQuery } from '../search.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { history, writtenHistory } from '../testing/histories.js';
import type { TermBlock } from '../terms/index.js';
import { leafHash } from '../tlog/index.js';
import type { Leaf } from '../leaf.js';

const noTimers = { after: () => () => undefined };

async function leavesOf(store: AuditStore, from = 0n, to = 10n ** 9n): Promise<StoredLeaf[]> {
  const all: StoredLeaf[] = [];
  for await (const page of store.leaves('p0', from, to)) all.push(...page.leaves);
  return all;
}
/** As text: comparing buffers deeply is slow. */
const lines = (leaves: readonly StoredLeaf[]): string[] =>
  leaves.map(({ bytes, index, ...leaf }) => JSON.stringify({ ...leaf, index: String(index), bytes: bytes.toString() }));

/** The laws of `AuditStore`. Every adapter's spec runs them. */
export function describeAuditStore(name: string, create: () => Promise<AuditStore>): void {
  describe(`the laws of an audit store, kept by ${name}`, () => {
    let store: AuditStore;
    beforeEach(async () => {
      store = await create();
    });

    it('opens a tree empty, once, and answers the log it was opened for', async () => {
      const empty = { log: 'p3', logId: 'log-a', nextOffset: 0, size: 0n, frontier: [], previousLeaf: null };
      expect(await store.open('p3', 'log-a')).toEqual(empty);
      expect(await store.open('p3', 'log-b')).toEqual(empty);
      await store.open('root', 'log-a');
      expect((await store.heads()).map(({ log }) => log).toSorted()).toEqual(['p3', 'root']);
    });

    it('holds exactly the tree that memory holds, through batches, restarts and two auditors at once', async () => {
      const { log, writer } = history(20, 1, 4);
      const memory = new MemoryAuditStore();
      const zombie = new Auditor({ log, store, timers: noTimers });
      for (let round = 0; round < 12; round++) {
        await writer.batch(1 + ((round * 7) % 40));
        const restarted = new Auditor({ log, store, timers: noTimers });
        await Promise.all([zombie.catchUp(0), restarted.catchUp(0)]);
      }
      const expected = await new Auditor({ log, store: memory, timers: noTimers }).catchUp(0);
      expect(await store.open('p0', 'log-20')).toEqual(expected);
      expect(lines(await leavesOf(store))).toEqual(lines(await leavesOf(memory)));
      const tiles = [0, 1].map((level) => ({ level, index: 0n }));
      expect(await store.tiles('p0', tiles)).toEqual(await memory.tiles('p0', tiles));
      expect(await store.tiles('p0', [{ level: 0, index: 99n }])).toEqual([undefined]);
    });

    it('reads any run of leaves in order, over page borders', async () => {
      const { log, writer } = history(21, 1);
      for (let i = 0; i < 14; i++) await writer.batch(90);
      await new Auditor({ log, store, timers: noTimers }).catchUp(0);
      const all = lines(await leavesOf(store));
      expect(all).toHaveLength(14 * 90);
      expect(lines(await leavesOf(store, 490n, 1010n))).toEqual(all.slice(490, 1010));
      expect(lines(await leavesOf(store, 1259n, 5000n))).toEqual(all.slice(1259));
      expect(await leavesOf(store, 7n, 7n)).toEqual([]);
    });

    it('reads the bytes of any run of leaves, the very ones that were stored', async () => {
      const { log, writer } = history(21, 1);
      for (let i = 0; i < 7; i++) await writer.batch(90);
      await new Auditor({ log, store, timers: noTimers }).catchUp(0);
      const all = (await leavesOf(store)).map(({ bytes }) => bytes.toString('latin1'));
      for (const [from, to] of [
        [0n, 10n ** 9n],
        [490n, 610n],
        [629n, 700n],
        [7n, 7n],
        [700n, 800n],
      ] as const) {
        const read: string[] = [];
        for await (const page of store.leafBytes('p0', from, to)) {
          expect(page.from).toBe(from + BigInt(read.length));
          read.push(...page.leaves.map((bytes) => bytes.toString('latin1')));
        }
        expect(read).toEqual(all.slice(Number(from), Number(to)));
      }
      const some = await store.leafBytesAt('p0', [3n, 77n, 5n, 10n ** 9n]);
      expect([...some].map(([index, bytes]) => [index, bytes.toString('latin1')]).toSorted()).toEqual(
        [3n, 5n, 77n].map((index) => [index, all[Number(index)]]).toSorted(),
      );
      expect((await store.leafBytesAt('p0', [])).size).toBe(0);
    });

    it('keeps nothing of a transaction that fails', async () => {
      const before = await store.open('p0', 'log-a');
      const failing = store.transact('p0', async (transaction) => {
        await transaction.grow(growth(before, 0));
        await transaction.keepNotes([noteOf(1n, 'log-a')]);
        throw new Error('power cut');
      });
      await expect(failing).rejects.toThrow('power cut');
      expect(await store.open('p0', 'log-a')).toEqual(before);
      expect(await leavesOf(store)).toEqual([]);
      expect(await store.latestNote('p0', 'log-a')).toBeUndefined();
    });

    it('refuses leaves out of place, a second leaf for an offset, and a head that shrinks', async () => {
      const empty = await store.open('p0', 'log-a');
      const grow = (change: Growth): Promise<void> => store.transact('p0', (transaction) => transaction.grow(change));
      await grow(growth(empty, 0));
      const one = await store.open('p0', 'log-a');
      await expect(grow(growth(empty, 5))).rejects.toThrow(AuditStopped);
      await expect(grow(growth(one, 0))).rejects.toThrow(AuditStopped);
      await expect(grow({ leaves: [], tiles: [], head: { ...one, size: 0n } })).rejects.toThrow(AuditStopped);
      await expect(grow({ leaves: [], tiles: [], head: { ...one, nextOffset: 0 } })).rejects.toThrow(AuditStopped);
      expect(await store.open('p0', 'log-a')).toEqual(one);
      expect(await leavesOf(store)).toHaveLength(1);
    });

    it('keeps notes by log and size, only ever larger ones', async () => {
      await store.open('root', 'log-a');
      const keep = (...notes: KeptNote[]): Promise<void> => store.transact('root', (transaction) => transaction.keepNotes(notes));
      const [five, nine, other] = [noteOf(5n, 'log-a'), noteOf(9n, 'log-a', 1n), noteOf(2n, 'log-b')];
      await keep(five, nine);
      await keep(other);
      expect(await store.latestNote('p0', 'log-a')).toEqual(nine);
      expect(await store.latestNote('p0', 'log-b')).toEqual(other);
      // Also of a tree that is just being rebuilt; p1 has no note.
      await store.open('p1', 'log-a');
      expect([await store.latestNotes('log-a'), await store.latestNotes('log-b')]).toEqual([[nine], [other]]);
      expect(await store.notes('p0', 'log-a', 0n, 10)).toEqual([five, nine]);
      expect(await store.notes('p0', 'log-a', 5n, 10)).toEqual([nine]);
      expect(await store.notes('p0', 'log-a', 0n, 1)).toEqual([five]);
      expect(await store.notesInRoot('log-a', 1n, 10)).toEqual([nine]);
      await expect(keep(noteOf(9n, 'log-a', 2n))).rejects.toThrow(AuditStopped);
      await expect(keep(noteOf(7n, 'log-a', 2n))).rejects.toThrow(AuditStopped);
      await store.republish('p0', 'log-a', 9n, 777);
      expect(await store.latestNote('p0', 'log-a')).toEqual({ ...nine, publishedAt: 777 });
      await store.open('p0', 'log-a');
      const inside = await store.transact('p0', async (transaction) => [
        await transaction.notes(4n, 8n),
        await transaction.notes(9n, 99n),
        await transaction.latestNote('root'),
      ]);
      expect(inside).toEqual([[five], [], undefined]);
    });

    it('keeps terms of a note that had none, and both places where the root tree holds it', async () => {
      await store.open('root', 'log-a');
      const [five, nine, late] = [noteOf(5n, 'log-a'), noteOf(9n, 'log-a', 1n), { ...noteOf(7n, 'log-a', 2n), log: 'p1' as const }];
      const said = leafHash(Buffer.from('terms'));
      const later = { ...nine, terms: said, rootIndex: 3n };
      await store.transact('root', (transaction) => transaction.keepNotes([five, nine, late]));
      const say = (note: typeof later): Promise<void> => store.transact('root', (transaction) => transaction.keepTerms([note]));
      await say(later);
      const held = { ...later, firstRootIndex: 1n };
      expect(await store.latestNote('p0', 'log-a')).toEqual(held);
      expect([await store.notes('p0', 'log-a', 0n, 9), await store.latestNotes('log-a')]).toEqual([
        [five, held],
        [held, late],
      ]);
      expect(await store.transact('root', (transaction) => transaction.latestNote('p0'))).toEqual(held);
      expect(await store.notesInRoot('log-a', 0n, 10)).toEqual([five, nine, late, held]);
      expect(await store.notesInRoot('log-a', 2n, 10)).toEqual([late, held]);
      expect(await store.notesInRoot('log-a', 3n, 10)).toEqual([held]);
      expect(await store.notesInRoot('log-a', 1n, 2)).toEqual([nine, late]);
      for (const wrong of [later, { ...later, size: 8n }]) await expect(say(wrong)).rejects.toThrow(AuditStopped);
    });

    it('keeps the keys of each log in order: one is current, those before it have the sizes up to which they count', async () => {
      await store.open('root', 'log-a');
      expect(await store.signingKeys('log-a')).toEqual([]);
      const [first, second] = [
        { vkey: 'k+1', since: {}, until: null, announcedAt: 5 },
        { vkey: 'k+2', since: { p0: '12', root: '3' }, until: null, announcedAt: 9 },
      ];
      for (const key of [first, second]) await store.transact('root', (transaction) => transaction.announceKey(key));
      const kept = [{ ...first, until: second.since }, second];
      expect(await store.signingKeys('log-a')).toEqual(kept);
      expect(await store.transact('root', (transaction) => transaction.signingKeys())).toEqual(kept);
      expect(await store.signingKeys('log-b')).toEqual([]);
      const failing = store.transact('root', async (transaction) => {
        await transaction.announceKey({ ...second, vkey: 'k+3' });
        throw new Error('power cut');
      });
      await expect(failing).rejects.toThrow('power cut');
      expect(await store.signingKeys('log-a')).toEqual(kept);
    });

    it('lets the tree of the access log go on under another event log, with all that it holds', async () => {
      const empty = await store.open('access', 'log-a');
      const bytes = Buffer.from('{"actor":"a"}');
      const grown = growth(empty, 0);
      const leaves = grown.leaves.map((leaf) => ({ ...leaf, bytes, stream: null }));
      await store.transact('access', (transaction) => transaction.grow({ ...grown, leaves }));
      const before = await store.open('access', 'log-a');
      await store.adopt('access', 'log-b');
      expect(await store.open('access', 'log-b')).toEqual({ ...before, logId: 'log-b' });
      const noted = { ...noteOf(1n, 'log-b'), log: 'access' as const, terms: leafHash(Buffer.from('terms')) };
      await store.open('root', 'log-b');
      await store.transact('root', (transaction) => transaction.keepNotes([noted]));
      expect(await store.notesInRoot('log-b', 0n, 5)).toEqual([noted]);
      expect((await store.search({ from: 0, limit: 5 })).hits).toEqual([]);
    });

    it('finds leaves by correlation, playthrough, actor and time, page by page, whatever the page size', async () => {
      const { log } = await writtenHistory(22, 40, 2);
      const auditor = new Auditor({ log, store, timers: noTimers });
      await auditor.catchUp(0);
      await auditor.catchUp(1);
      const memory = new MemoryAuditStore();
      const reference = new Auditor({ log, store: memory, timers: noTimers });
      await reference.catchUp(0);
      await reference.catchUp(1);
      const found = async (source: AuditStore, query: Omit<SearchQuery, 'limit'>, limit: number): Promise<SearchHit[]> => {
        const hits: SearchHit[] = [];
        for (let after: SearchQuery['after']; ;) {
          const page = await source.search({ ...query, limit, ...(after === undefined ? {} : { after }) });
          hits.push(...page.hits);
          if (page.next === undefined) return hits;
          after = page.next;
        }
      };
      const some = JSON.parse(((await leavesOf(memory))[30] as StoredLeaf).bytes.toString()) as Leaf;
      const middle = Number(some.time);
      const queries: Omit<SearchQuery, 'limit'>[] = [
        { correlationId: some.correlationId as string },
        { playthroughId: 'reader-3' },
        { actor: 'actor-2' },
        { from: middle, to: middle + 20 },
        { actor: 'actor-1', from: middle },
        { actor: 'actor-1', playthroughId: 'reader-3', to: middle },
        { actor: 'nobody' },
      ];
      let hits = 0;
      for (const query of queries) {
        const expected = await found(memory, query, 1000);
        hits += expected.length;
        for (const limit of [1, 3, 1000]) expect(await found(store, query, limit)).toEqual(expected);
      }
      expect(hits).toBeGreaterThan(50);
      for (const hit of await found(store, { playthroughId: 'reader-3' }, 7)) {
        expect((JSON.parse(hit.bytes.toString()) as Leaf).envelope?.stream).toBe(playthroughStream('reader-3'));
      }
    });

    it('keeps summaries of blocks, the newest of each, until the tree is forgotten', async () => {
      await store.open('p0', 'log-a');
      await store.open('p1', 'log-a');
      const block = (n: number, text = 'x'): TermBlock => ({
        block: BigInt(n),
        summary: Buffer.from(`summary ${text}`.padEnd(41)),
        frontier: Array.from({ length: n % 3 }, () => leafHash(Buffer.from(text))),
      });
      const keep = (...blocks: TermBlock[]): Promise<void> => store.transact('p0', (transaction) => transaction.keepTermBlocks(blocks));
      await keep(block(0), block(1), block(5));
      await keep(block(1, 'y'));
      await keep();
      expect(await store.termBlocks('p0', [5n, 2n, 1n])).toEqual([block(5), undefined, block(1, 'y')]);
      expect(await store.termBlocks('p0', [])).toEqual([]);
      expect(await store.termBlocks('p1', [0n])).toEqual([undefined]);
      expect(await store.lastTermBlock('p0', 5n)).toEqual(block(1, 'y'));
      expect(await store.lastTermBlock('p0', 6n)).toEqual(block(5));
      expect(await store.lastTermBlock('p0', 0n)).toBeUndefined();
      const failing = store.transact('p0', async (transaction) => {
        await transaction.keepTermBlocks([block(7)]);
        throw new Error('power cut');
      });
      await expect(failing).rejects.toThrow('power cut');
      expect(await store.lastTermBlock('p0', 9n)).toEqual(block(5));
      await store.forget('p0');
      expect(await store.lastTermBlock('p0', 9n)).toBeUndefined();
    });

    it('names the run of leaves in a time', async () => {
      const { log } = await writtenHistory(24, 20, 1);
      await new Auditor({ log, store, timers: noTimers }).catchUp(0);
      const all = await leavesOf(store);
      const times = all.map(({ time }) => time);
      for (const [from, to] of [
        [times[10], times[40]],
        [0, times[0]],
        [times[5], times[5]],
        [times[3], Number.MAX_SAFE_INTEGER],
      ] as [number, number][]) {
        const inside = all.filter(({ time }) => time >= from && time < to);
        const expected = inside.length === 0 ? undefined : { from: inside[0]?.index, to: (inside.at(-1)?.index ?? 0n) + 1n };
        expect(await store.timeSpan('p0', from, to)).toEqual(expected);
      }
    });

    it('forgets a tree but not its notes, and builds it again the same', async () => {
      const { log } = await writtenHistory(23, 10, 1);
      const before = await new Auditor({ log, store, timers: noTimers }).catchUp(0);
      const kept = await leavesOf(store);
      await store.transact('p0', (transaction) => transaction.keepNotes([noteOf(10_000n, 'log-23')]));
      await store.forget('p0');
      expect(await store.heads()).toEqual([]);
      expect(await leavesOf(store)).toEqual([]);
      expect(await new Auditor({ log, store, timers: noTimers }).catchUp(0)).toEqual(before);
      expect(lines(await leavesOf(store))).toEqual(lines(kept));
      expect(await store.latestNote('p0', 'log-23')).toEqual(noteOf(10_000n, 'log-23'));
    });

    it('keeps export jobs as they were saved last', async () => {
      const job: ExportJob = {
        id: 'e1',
        requestedBy: 'a',
        requestedAt: 5,
        ranges: [
          { log: 'p0', from: 0n },
          { log: 'root', from: 2n, to: 2n ** 60n, since: 1n },
        ],
        state: 'queued',
        leavesWritten: 0,
        leavesTotal: 7,
        finishedAt: null,
        keptBy: { id: 'one', address: 'http://one' },
        file: null,
        error: null,
      };
      await store.saveExport(job);
      await store.saveExport({ ...job, id: 'e2', requestedAt: 9 });
      const done: ExportJob = { ...job, state: 'done', finishedAt: 10, file: { name: 'e1.tar', bytes: 3, sha256: 'x' } };
      await store.saveExport(done);
      expect(await store.export('e1')).toEqual(done);
      expect(await store.export('none')).toBeUndefined();
      expect((await store.exports(10)).map(({ id }) => id)).toEqual(['e2', 'e1']);
      expect(await store.exports(1)).toHaveLength(1);
    });
  });
}

function growth(head: Growth['head'], offset: number): Growth {
  const bytes = Buffer.from(`leaf ${head.size}`);
  const leaf = { index: head.size, offset, time: 1, bytes, stream: 's/1', correlationId: 'c', actor: 'a', accepted: true };
  return {
    leaves: [leaf],
    tiles: [{ level: 0, index: 0n, hashes: leafHash(bytes) }],
    head: {
      ...head,
      nextOffset: Math.max(offset + 1, head.nextOffset),
      size: head.size + 1n,
      frontier: [leafHash(bytes)],
      previousLeaf: leafHash(bytes),
    },
  };
}

function noteOf(size: bigint, logId: string, rootIndex = 0n): KeptNote {
  return {
    log: 'p0',
    logId,
    size,
    root: leafHash(Buffer.from(String(size))),
    note: `note ${size}`,
    signedAt: 3,
    publishedAt: 4,
    rootIndex,
  };
}
