import { readFileSync } from 'node:fs';
import path from 'node:path';
import { canonicalJson } from '#lib/canonical';
import { admissible, admit, decodeRecord, EMPTY_HEAD, encodeRecord, type DecisionRecord, type StreamHead } from '#lib/decision';
import { createMemoryLog, LogUnavailable, type EventLog } from '#lib/log';
import type { Timers } from '#lib/platform';
import { Auditor, type PartitionAudit } from './auditor.js';
import { AuditStopped, type AuditStore, type StoredLeaf } from './audit-store.js';
import { MAX_LEAF_BYTES, type Leaf } from './leaf.js';
import { MemoryAuditStore } from './memory/memory-audit-store.js';
import { rebuildTrees, type TreeRebuild } from './rebuild.js';
import { history, writtenHistory } from './testing/histories.js';
import { Frontier, leafHash, tileHashReader, treeRoot, treeSize } from './tlog/index.js';

const noTimers: Timers = { after: () => () => undefined };
const auditorOf = (log: EventLog, store: AuditStore): Auditor => new Auditor({ log, store, timers: noTimers });

async function leavesOf(store: AuditStore, log: `p${number}`): Promise<StoredLeaf[]> {
  const all: StoredLeaf[] = [];
  for await (const page of store.leaves(log, 0n, 10n ** 9n)) all.push(...page.leaves);
  return all;
}
/** As text: comparing buffers deeply is slow. */
const texts = async (store: AuditStore): Promise<string[]> =>
  (await leavesOf(store, 'p0')).map((leaf) => `${leaf.index} ${leaf.offset} ${leaf.bytes.toString()}`);
const parsed = (leaf: StoredLeaf): Leaf => JSON.parse(leaf.bytes.toString()) as Leaf;
/** A log that hands out batches of another size. */
function rebatched(log: EventLog, maxRecords: number): EventLog {
  return {
    partitions: log.partitions,
    append: (partition, records) => log.append(partition, records),
    read: (partition, from, options) => log.read(partition, from, { ...options, maxRecords }),
    end: (partition) => log.end(partition),
    begin: (partition) => log.begin(partition),
    forget: (partition, before) => log.forget(partition, before),
    id: () => log.id(),
    close: () => log.close(),
  };
}

describe('the auditor', () => {
  it('writes one leaf per record with the verdict that every reader comes to', async () => {
    const { log } = await writtenHistory(1, 60);
    const store = new MemoryAuditStore();
    const auditor = auditorOf(log, store);
    const seen = new Set<string>();
    for (let partition = 0; partition < log.partitions; partition++) {
      const head = await auditor.catchUp(partition);
      const leaves = await leavesOf(store, `p${partition}`);
      expect(leaves).toHaveLength(await log.end(partition));
      expect(head.size).toBe(BigInt(leaves.length));
      const heads = new Map<string, StreamHead>();
      for (const leaf of leaves) expect(leaf.bytes.toString()).toBe(canonicalJson(parsed(leaf)));
      let at = 0;
      for await (const { records } of log.read(partition, 0, { upTo: await log.end(partition) })) {
        for (const record of records) {
          const leaf = parsed(leaves[at] as StoredLeaf);
          const decoded = decodeRecord(record.value);
          let verdict = 'invalid';
          if (admissible(decoded, partition, log.partitions)) {
            const admission = admit(heads.get(decoded.record.stream) ?? EMPTY_HEAD, decoded.record, decoded.digest, record.offset);
            heads.set(decoded.record.stream, admission.head);
            verdict = admission.verdict;
          }
          seen.add(verdict);
          expect(leaf.verdict).toBe(verdict);
          expect([leaf.index, leaf.offset, leaf.record, leaf.log]).toEqual([String(at), String(record.offset), decoded.digest, 'log-1']);
          expect(leaf.previousLeaf).toBe(at === 0 ? null : leafHash((leaves[at - 1] as StoredLeaf).bytes).toString('hex'));
          at++;
        }
      }
    }
    expect([...seen].toSorted()).toEqual(['accepted', 'conflict', 'duplicate', 'invalid', 'reused']);
  });

  it('builds the same tree whatever the batches, restarts and second auditors', async () => {
    const { log, writer } = history(2, 1, 3);
    const whole = new MemoryAuditStore();
    const pieces = new MemoryAuditStore();
    const zombie = auditorOf(rebatched(log, 7), pieces);
    for (let round = 0; round < 40; round++) {
      await writer.batch(1 + (round % 23));
      if (round % 3 === 0) await zombie.catchUp(0);
      if (round % 5 === 0) await auditorOf(rebatched(log, 3), pieces).catchUp(0);
      if (round % 7 === 0) await Promise.all([zombie.catchUp(0), auditorOf(rebatched(log, 2), pieces).catchUp(0)]);
    }
    const a = await auditorOf(log, whole).catchUp(0);
    const b = await zombie.catchUp(0);
    expect(b).toEqual(a);
    expect(await texts(pieces)).toEqual(await texts(whole));
    const hex = (store: MemoryAuditStore): string[] =>
      [...(store.trees.get('p0')?.tiles ?? [])].map(([key, tile]) => `${key} ${tile.toString('hex')}`);
    expect(hex(pieces)).toEqual(hex(whole));
    const reader = tileHashReader((tiles) => pieces.tiles('p0', tiles));
    expect(await treeRoot(reader, treeSize(b.size))).toEqual(new Frontier(b.size, b.frontier).root());
  });

  it('remembers 64 commands per stream across restarts, like every reader', async () => {
    const { log, writer } = history(3, 1, 1);
    const restarted = new MemoryAuditStore();
    for (let round = 0; round < 30; round++) {
      await writer.batch(10);
      await auditorOf(log, restarted).catchUp(0);
    }
    const once = new MemoryAuditStore();
    await auditorOf(log, once).catchUp(0);
    expect(await texts(restarted)).toEqual(await texts(once));
  });

  it('never holds bodies, free text, or more than 65,535 bytes, whatever a decodable record says', async () => {
    const { log } = history(4, 1);
    const hostile = {
      ...base('playthrough/x'),
      correlationId: `\ud800${'c'.repeat(10)}`,
      causationId: 'SECRET '.repeat(1000),
      actor: { id: 'a'.repeat(201), role: 'rea\nder' },
      eventCount: 64,
      events: Array.from({ length: 64 }, () => ({
        type: 'Hostile',
        v: 1,
        storyId: '√'.repeat(200),
        versionHash: '√'.repeat(200),
        fromPassageId: '√'.repeat(200),
        body: 'SECRET',
      })),
    };
    const quoted: DecisionRecord[] = ['a"b', 'back\\slash', 'ümläut 😀', '\u2028', 'tab\t', ''].map((name, i) => ({
      ...base(`playthrough/"${i}\\`),
      correlationId: name,
      causationId: name,
      actor: { id: name, role: 'reader' },
      commandId: `c:"${i}\\`,
      events: [
        { type: name, v: i, storyId: name, turn: -i, narrative: { passageId: name }, choiceId: name, stateHash: 7, versionHash: name },
      ],
    }));
    const text = JSON.stringify(hostile);
    expect(text.length).toBeGreaterThan(40_000);
    await log.append(0, [
      { key: 'x', value: Buffer.from(text) },
      { key: 'x', value: Buffer.from('{"v":1, SECRET') },
      { key: 'x', value: Buffer.alloc(0) },
      { key: 'x', value: Buffer.from('{"v":1,"__proto__":{"v":2}}') },
      ...quoted.map((record) => ({ key: 'x', value: Buffer.from(encodeRecord(record)) })),
    ]);
    const store = new MemoryAuditStore();
    await auditorOf(log, store).catchUp(0);
    const leaves = await leavesOf(store, 'p0');
    expect(leaves).toHaveLength(4 + quoted.length);
    for (const leaf of leaves) {
      expect(leaf.bytes.length).toBeLessThanOrEqual(MAX_LEAF_BYTES);
      expect(leaf.bytes.toString()).toBe(canonicalJson(parsed(leaf)));
      expect(leaf.bytes.toString()).not.toContain('SECRET');
    }
    expect(parsed(leaves[0] as StoredLeaf)).toMatchObject({
      verdict: 'accepted',
      correlationId: { omitted: 11 },
      placesOmitted: true,
      actor: { id: { omitted: 201 }, role: { omitted: 7 } },
    });
    expect(parsed(leaves[1] as StoredLeaf)).toMatchObject({ verdict: 'invalid', reason: 'undecodable' });
  });

  it('says of a hold and an erasure that they were decided and to which state they led, never for whom or why', async () => {
    const golden = readFileSync(path.join(__dirname, '../../../test/golden/0.2.0-compliance.ndjson'), 'utf8').trimEnd().split('\n');
    const log = createMemoryLog({ partitions: 1, clock: { now: () => 1_795_500_000_000 } });
    await log.append(
      0,
      golden.map((line) => ({ key: 'compliance/main', value: Buffer.from(line) })),
    );
    const store = new MemoryAuditStore();
    await auditorOf(log, store).catchUp(0);
    const leaves = await leavesOf(store, 'p0');
    const events = golden.flatMap((line) => (JSON.parse(line) as DecisionRecord).events);
    expect(leaves.flatMap((leaf) => parsed(leaf).events)).toEqual(events.map(({ type, v, stateHash }) => ({ type, v, stateHash })));
    expect(leaves.every((leaf) => parsed(leaf).verdict === 'accepted')).toBe(true);
    for (const { bytes } of leaves) expect(bytes.toString()).not.toMatch(/r-anna|case 12|GDPR|because/);
  });

  it('stops at a record of a newer version and says so, after it has recorded everything before', async () => {
    const { log, writer } = history(5, 1);
    await writer.batch(5);
    await log.append(0, [{ key: 'x', value: Buffer.from('{"v":2}') }]);
    await writer.batch(5);
    const store = new MemoryAuditStore();
    const auditor = auditorOf(log, store);
    await expect(auditor.catchUp(0)).rejects.toMatchObject({ code: 'UNKNOWN_ENVELOPE' });
    await auditor.run(new AbortController().signal);
    expect(auditor.status()).toMatchObject([{ state: 'stopped', size: 5n, nextOffset: 5, problem: { code: 'UNKNOWN_ENVELOPE' } }]);
    expect(await leavesOf(store, 'p0')).toHaveLength(5);
  });

  it('refuses a store of another log and a store ahead of its log, and names the command that mends it', async () => {
    const { log } = await writtenHistory(6, 10, 1);
    const store = new MemoryAuditStore();
    await auditorOf(log, store).catchUp(0);
    const other = await writtenHistory(7, 10, 1);
    await expect(auditorOf(other.log, store).catchUp(0)).rejects.toMatchObject({
      code: 'OTHER_LOG',
      remedy: expect.stringContaining('fabula audit rebuild') as string,
    });
    const shorter = history(6, 1);
    await shorter.writer.batch(1);
    await expect(auditorOf(shorter.log, store).catchUp(0)).rejects.toMatchObject({
      code: 'BEYOND_LOG_END',
      remedy: expect.stringContaining('fabula audit rebuild') as string,
    });
  });

  it('stops when what is stored contradicts itself', async () => {
    const { log, writer } = await writtenHistory(8, 10, 1);
    const store = new MemoryAuditStore();
    await auditorOf(log, store).catchUp(0);
    store.trees.get('p0')?.tiles.set('0/0', Buffer.alloc(32));
    await writer.batch(3);
    await expect(auditorOf(log, store).catchUp(0)).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
  });

  it('is rebuilt from its log, and moved to another log, by the command that the refusal names', async () => {
    const { log } = await writtenHistory(12, 12, 2);
    const store = new MemoryAuditStore();
    const before = [await auditorOf(log, store).catchUp(0), await auditorOf(log, store).catchUp(1)];
    expect(await rebuildTrees({ store, log, timers: noTimers })).toEqual(before);
    await store.open('root', 'log-12');
    const other = await writtenHistory(13, 12, 1);
    const moved = await rebuildTrees({ store, log: other.log, timers: noTimers });
    expect(moved).toEqual([await auditorOf(other.log, new MemoryAuditStore()).catchUp(0)]);
    expect((await store.heads()).map((head) => head.log)).toEqual(['p0']);
  });

  it('is rebuilt four trees at a time, each told of; where one fails the others end before the failure is told', async () => {
    const { log } = await writtenHistory(15, 60, 7);
    const store = new MemoryAuditStore();
    const before = await Promise.all(Array.from({ length: 7 }, (_, partition) => auditorOf(log, store).catchUp(partition)));
    const reading = new Set<number>();
    let most = 0;
    let failing: number | undefined;
    const watched: EventLog = {
      ...rebatched(log, 2),
      async *read(partition, from, options) {
        reading.add(partition);
        most = Math.max(most, reading.size);
        try {
          // All that may begin have begun.
          for (let turns = 0; turns < 20; turns++) await Promise.resolve();
          if (partition === failing) throw new Error('the disk is full');
          yield* log.read(partition, from, { ...options, maxRecords: 2 });
        } finally {
          reading.delete(partition);
        }
      },
    };
    const told = new Map<number, string>();
    const progress = ({ partition, done, end }: TreeRebuild): void => void told.set(partition, `${done} of ${end}`);
    expect(await rebuildTrees({ store, log: watched, timers: noTimers, progress })).toEqual(before);
    expect(most).toBe(4);
    expect([...told].toSorted(([a], [b]) => a - b).map(([, text]) => text)).toEqual(
      before.map((head) => `${head.nextOffset} of ${head.nextOffset}`),
    );

    failing = 1;
    await expect(rebuildTrees({ store, log: watched, timers: noTimers })).rejects.toThrow('the disk is full');
    expect(reading.size).toBe(0);
    const stop = new AbortController();
    stop.abort(new Error('the server stops'));
    await expect(rebuildTrees({ store, log, timers: noTimers, signal: stop.signal })).rejects.toThrow('the server stops');
    failing = undefined;
    expect(await rebuildTrees({ store, log: watched, timers: noTimers })).toEqual(before);
  });

  it('reads again from where the store stands when the store was set back under it', async () => {
    const { log } = await writtenHistory(14, 20, 1);
    const store = new MemoryAuditStore();
    let batches = 0;
    const slow: EventLog = {
      ...rebatched(log, 5),
      async *read(partition, from, options) {
        for await (const batch of log.read(partition, from, { ...options, maxRecords: 5 })) {
          if (++batches === 3) {
            await store.forget('p0');
            await store.open('p0', 'log-14');
          }
          yield batch;
        }
      },
    };
    await auditorOf(slow, store).catchUp(0);
    const clean = new MemoryAuditStore();
    await auditorOf(log, clean).catchUp(0);
    expect(await texts(store)).toEqual(await texts(clean));
  });

  it('follows the tail, waits out an outage and goes on', async () => {
    const { log, writer } = history(9, 1);
    await writer.batch(4);
    const store = new MemoryAuditStore();
    let down = 2;
    const shaky: EventLog = {
      ...rebatched(log, 100),
      end: (partition) => (down-- > 0 ? Promise.reject(new LogUnavailable('down')) : log.end(partition)),
    };
    const pauses: number[] = [];
    const timers: Timers = {
      after: (ms, callback) => {
        pauses.push(ms);
        queueMicrotask(callback);
        return () => undefined;
      },
    };
    const abort = new AbortController();
    const states: (readonly [string, boolean])[] = [];
    let reached: (size: bigint) => void = () => undefined;
    const auditor = new Auditor({
      log: shaky,
      store,
      timers,
      onStatus: (status: PartitionAudit) => {
        states.push([status.state, status.opened]);
        reached(status.size);
      },
    });
    const until = (size: bigint): Promise<void> => new Promise((resolve) => (reached = (now) => (now === size ? resolve() : undefined)));
    const four = until(4n);
    const running = auditor.run(abort.signal);
    await four;
    const ten = until(10n);
    await writer.batch(6);
    await ten;
    abort.abort();
    await running;
    // Before the tree was looked at, nothing is known of where it stands.
    expect(states.slice(0, 3)).toEqual([
      ['waiting', false],
      ['waiting', false],
      ['following', true],
    ]);
    expect(pauses).toEqual([100, 200]);
    expect(auditor.status()).toMatchObject([{ state: 'following', size: 10n }]);
    expect(auditor.status()[0]?.problem).toBeUndefined();
  });

  it('keeps nothing of a batch whose transaction failed, and takes it again', async () => {
    const { log } = await writtenHistory(10, 20, 1);
    const store = new MemoryAuditStore();
    const auditor = auditorOf(rebatched(log, 5), store);
    const transact = store.transact.bind(store);
    let calls = 0;
    store.transact = (name, work) =>
      transact(name, async (transaction) => {
        const result = await work(transaction);
        if (++calls === 3) throw new Error('connection lost');
        return result;
      });
    await expect(auditor.catchUp(0)).rejects.toThrow('connection lost');
    await auditor.catchUp(0);
    const clean = new MemoryAuditStore();
    await auditorOf(log, clean).catchUp(0);
    expect(await texts(store)).toEqual(await texts(clean));
  });

  it('stops when a rebuilt tree has another root than a kept note', async () => {
    const { log } = await writtenHistory(11, 20, 1);
    const store = new MemoryAuditStore();
    const head = await auditorOf(log, store).catchUp(0);
    const root = new Frontier(head.size, head.frontier).root();
    const kept = { log: 'p0' as const, logId: 'log-11', size: head.size, note: '', signedAt: 0, publishedAt: 0, rootIndex: 0n };
    store.keptNotes.push({ ...kept, root });
    await store.forget('p0');
    await expect(auditorOf(log, store).catchUp(0)).resolves.toEqual(head);
    store.keptNotes.splice(0, 1, { ...kept, root: leafHash(root) });
    await store.forget('p0');
    const refused = auditorOf(log, store).catchUp(0);
    await expect(refused).rejects.toThrow(AuditStopped);
    await expect(refused).rejects.toMatchObject({ code: 'NOTE_DISAGREES' });
    expect(await leavesOf(store, 'p0')).toHaveLength(0);
  });
});

function base(stream: string): DecisionRecord {
  const record: DecisionRecord = {
    v: 1,
    stream,
    expectedVersion: 0,
    previous: null,
    commandId: 'c:1',
    commandDigest: '0'.repeat(64),
    eventCount: 1,
    correlationId: 'c',
    causationId: null,
    actor: { id: 'a', role: 'reader' },
    at: 1,
    events: [{ type: 'A', v: 1 }],
  };
  encodeRecord(record);
  return record;
}
