import fc from 'fast-check';
import { canonicalJson } from '#lib/canonical';
import type { Timers } from '#lib/platform';
import type { AuditStore } from '../audit-store.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { leafHash } from '../tlog/index.js';
import { edgeTiles, TreeGrowth } from '../tree-growth.js';
import { MAX_LEAF_BYTES } from '../leaf.js';
import { accessBytes, accessEntryOf, type Access, type AccessEntry } from './access-entry.js';
import { AccessLog, AccessNotRecorded } from './access-log.js';
import { AccessRecorder } from './access-recorder.js';
import { OTHERS } from './access-summaries.js';

const LOG_ID = '0123456789abcdef0123456789abcdef';
const NOW = 1_800_000_000_000;
const access = (more: Partial<Access> = {}): Access => ({
  event: 'sensitive_read',
  at: NOW,
  actor: 'somebody',
  roles: ['compliance'],
  action: 'GET /audit/search',
  outcome: 'ok',
  correlationId: 'c-1',
  ...more,
});

/** Timers that go off when a test says so. */
class HandTimers implements Timers {
  readonly set: { readonly ms: number; readonly callback: () => void }[] = [];
  after(ms: number, callback: () => void): () => void {
    const timer = { ms, callback };
    this.set.push(timer);
    return () => {
      if (this.set.includes(timer)) this.set.splice(this.set.indexOf(timer), 1);
    };
  }
  fire(ms: number): void {
    for (const timer of this.set.filter((one) => one.ms === ms)) {
      this.set.splice(this.set.indexOf(timer), 1);
      timer.callback();
    }
  }
}

async function entriesOf(store: AuditStore): Promise<AccessEntry[]> {
  const entries: AccessEntry[] = [];
  for await (const { leaves } of store.leaves('access', 0n, 1n << 40n)) entries.push(...leaves.map(({ bytes }) => accessEntryOf(bytes)));
  return entries;
}

/** Whether head, tiles and chain are those of the kept bytes. */
async function isWhole(store: AuditStore): Promise<boolean> {
  const growth = new TreeGrowth({ size: 0n, frontier: [] }, []);
  let previous: string | null = null;
  for await (const { leaves } of store.leaves('access', 0n, 1n << 40n))
    for (const { bytes, index } of leaves) {
      const entry = accessEntryOf(bytes);
      if (entry.previousLeaf !== previous || entry.index !== String(index)) return false;
      const hash = leafHash(bytes);
      previous = hash.toString('hex');
      growth.append(hash);
    }
  const head = await store.open('access', LOG_ID);
  const tiles = await store.tiles('access', edgeTiles(head.size));
  return head.size === growth.size && new TreeGrowth(head, tiles).root().equals(growth.root());
}

describe('an entry of the access log', () => {
  test('is canonical JSON of bounded size, whatever a caller sent', () => {
    const text = fc.string({ unit: 'binary', maxLength: 250 });
    const any = fc.record({
      actor: fc.option(text),
      action: text,
      outcome: text,
      correlationId: fc.option(text),
      target: fc.dictionary(text, fc.oneof(text, fc.double()), { maxKeys: 30 }),
      roles: fc.array(text, { maxLength: 30 }),
    });
    fc.assert(
      fc.property(any, (given) => {
        const bytes = accessBytes(access({ ...given, target: given.target as Record<string, string | number> }), {
          logId: LOG_ID,
          index: 7n,
          previousLeaf: null,
        });
        const text = bytes.toString('utf8');
        expect(bytes.length).toBeLessThanOrEqual(MAX_LEAF_BYTES);
        expect(text).not.toMatch(/[\n\r]/);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
      { numRuns: 30 },
    );
  });
});

describe('the access log', () => {
  test('keeps concurrent entries of several processes as one chain and one tree, few at a time in one transaction', async () => {
    const store = new MemoryAuditStore();
    let transactions = 0;
    const transact = store.transact.bind(store);
    store.transact = (log, work) => (transactions++, transact(log, work));
    const logs = [1, 2, 3].map(() => new AccessLog({ store, logId: LOG_ID, timers: new HandTimers() }));
    const work = Array.from({ length: 600 }, (_, n) => (logs[n % 3] as AccessLog).record(access({ correlationId: `c-${n}` })));
    await Promise.all(work);
    const entries = await entriesOf(store);
    expect(new Set(entries.map(({ correlationId }) => correlationId)).size).toBe(600);
    expect(await isWhole(store)).toBe(true);
    expect(transactions).toBeLessThan(20);
  });

  test('refuses what the store does not take, keeps nothing of it, and goes on with the next', async () => {
    const store = new MemoryAuditStore();
    const told: string[] = [];
    const log = new AccessLog({ store, logId: LOG_ID, timers: new HandTimers(), onRefusing: (problem) => told.push(problem) });
    await log.record(access());
    const transact = store.transact.bind(store);
    store.transact = (name, work) =>
      transact(name, async (transaction) => {
        await work(transaction);
        throw new Error('the connection ended');
      });
    await expect(log.record(access(), access())).rejects.toThrow(AccessNotRecorded);
    await expect(log.record(access())).rejects.toThrow(AccessNotRecorded);
    expect(told).toEqual(['the connection ended']);
    store.transact = transact;
    await log.record(access({ outcome: 'FORBIDDEN' }));
    expect((await entriesOf(store)).map(({ outcome }) => outcome)).toEqual(['ok', 'FORBIDDEN']);
    expect(await isWhole(store)).toBe(true);
  });

  test('refuses at once when too many wait, and after a while when the store says nothing', async () => {
    const store = new MemoryAuditStore();
    const timers = new HandTimers();
    store.transact = () => new Promise(() => undefined);
    const log = new AccessLog({ store, logId: LOG_ID, timers });
    const outcomes = Promise.allSettled(Array.from({ length: 6_000 }, () => log.record(access())));
    await new Promise((resolve) => setImmediate(resolve));
    timers.fire(5_000);
    const failed = (await outcomes).filter((one) => one.status === 'rejected').map(({ reason }) => String(reason));
    expect(failed.filter((reason) => reason.includes('too many'))).toHaveLength(999);
    expect(failed.filter((reason) => reason.includes('within 5000 ms'))).toHaveLength(5_001);
  });
});

describe('summaries of the access log', () => {
  const recorderOf = (store: AuditStore, mostSummaries = 100) => {
    const timers = new HandTimers();
    const problems: string[] = [];
    const log = new AccessLog({ store, logId: LOG_ID, timers });
    const recorder = new AccessRecorder({
      log,
      clock: { now: () => NOW + 60_000 },
      timers,
      mostSummaries,
      onProblem: (problem) => problems.push(problem),
    });
    return { recorder, timers, problems };
  };
  const failure = (n: number): Access =>
    access({ event: 'authn_login_fail', at: NOW + n, actor: null, roles: [], outcome: 'UNAUTHENTICATED', correlationId: `c-${n}` });

  test('hold one row for a flood of the same, with how often, first and last', async () => {
    const store = new MemoryAuditStore();
    const { recorder, timers } = recorderOf(store);
    for (let n = 0; n < 50_000; n++) recorder.summarise(failure(n));
    expect(recorder.counted).toBe(1);
    timers.fire(60_000);
    await recorder.flush();
    const entries = await entriesOf(store);
    expect(entries).toEqual([
      expect.objectContaining({
        event: 'authn_login_fail',
        count: '50000',
        from: String(NOW),
        to: String(NOW + 49_999),
        correlationId: null,
      }),
    ]);
  });

  test('are bounded however many different things are tried, and lose no count', async () => {
    const store = new MemoryAuditStore();
    const { recorder } = recorderOf(store, 100);
    for (let n = 0; n < 5_000; n++) recorder.summarise({ ...failure(n), actor: `actor-${n}` });
    expect(recorder.counted).toBe(101);
    await recorder.flush();
    const entries = await entriesOf(store);
    expect(entries.reduce((sum, { count }) => sum + Number(count), 0)).toBe(5_000);
    expect(entries.at(-1)).toMatchObject({ action: OTHERS, actor: null, count: '4900' });
  });

  test('that could not be written are counted on and written later, also at the end', async () => {
    const store = new MemoryAuditStore();
    const { recorder, timers, problems } = recorderOf(store);
    const transact = store.transact.bind(store);
    store.transact = () => Promise.reject(new Error('no database'));
    recorder.summarise(failure(1));
    recorder.summarise(failure(2));
    await recorder.flush();
    expect(problems).toEqual([expect.stringContaining('no database')]);
    store.transact = transact;
    recorder.summarise(failure(3));
    await recorder.stop();
    expect(await entriesOf(store)).toEqual([expect.objectContaining({ count: '3', from: String(NOW + 1), to: String(NOW + 3) })]);
    expect(timers.set).toEqual([]);
  });

  test('tell of readings of the access log itself once, then how many more there were', async () => {
    const store = new MemoryAuditStore();
    const { recorder, timers } = recorderOf(store);
    for (let n = 0; n < 500; n++) await recorder.recordOnce(access({ action: 'GET /audit/access' }));
    expect(await entriesOf(store)).toHaveLength(1);
    timers.fire(600_000);
    await recorder.stop();
    expect((await entriesOf(store)).map(({ count }) => count)).toEqual([undefined, '499']);
    await recorder.recordOnce(access({ action: 'GET /audit/access' }));
    expect(await entriesOf(store)).toHaveLength(3);
  });

  test('tell which tree was read, each once and then counted by itself', async () => {
    const store = new MemoryAuditStore();
    const { recorder } = recorderOf(store);
    const tile = (log: string): Access => access({ action: 'GET /audit/logs/:log/tile/*', target: { log } });
    for (const log of ['p0', 'p1', 'p0', 'p1', 'p1']) await recorder.recordOnce(tile(log));
    await recorder.stop();
    expect((await entriesOf(store)).map(({ target, count }) => [target['log'], count])).toEqual([
      ['p0', undefined],
      ['p1', undefined],
      ['p0', '1'],
      ['p1', '2'],
    ]);
  });

  test('let nobody see what was asked for while the first reading was being refused', async () => {
    const store = new MemoryAuditStore();
    const { recorder } = recorderOf(store);
    const transact = store.transact.bind(store);
    store.transact = () => Promise.reject(new Error('no database'));
    const outcomes = await Promise.allSettled([recorder.recordOnce(access()), recorder.recordOnce(access())]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    store.transact = transact;
    await recorder.recordOnce(access());
    expect(await entriesOf(store)).toHaveLength(1);
  });

  test('of a first reading that was refused do not stand for it', async () => {
    const store = new MemoryAuditStore();
    const { recorder } = recorderOf(store);
    const transact = store.transact.bind(store);
    store.transact = () => Promise.reject(new Error('no database'));
    await expect(recorder.recordOnce(access())).rejects.toThrow(AccessNotRecorded);
    store.transact = transact;
    await recorder.recordOnce(access());
    expect(await entriesOf(store)).toHaveLength(1);
  });
});
