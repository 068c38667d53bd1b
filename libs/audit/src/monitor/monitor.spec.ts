import { Proofs } from '../proofs.js';
import { parseLogName, type LogName } from '../log-name.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { audited, testSigner, type Audited } from '../testing/audited.js';
import { colluded, edited, rechained } from '../testing/forging.js';
import { generateSigner, leafHash, parseTrust, signCheckpointNote, treeSize } from '../tlog/index.js';
import { formatMonitorState, MalformedMonitorState, parseMonitorState, type MonitorState } from './monitor-state.js';
import { monitorRound, type MonitorRound } from './monitor.js';
import type { MonitorSource } from './watch-tree.js';

const STALE_MS = 1_000;
const PAGE = 7n;

/** What a server answers, from a store; tests put false answers in its place. */
function served(
  history: Pick<Audited<MemoryAuditStore>, 'logId' | 'log' | 'partitions'>,
  store: MemoryAuditStore,
): MonitorSource & { asked: number } {
  const { logId } = history;
  const proofs = new Proofs(store, logId);
  const nameOf = (log: string): LogName => parseLogName(log) as LogName;
  return {
    asked: 0,
    logs: async () => ({ logId, logs: (await store.heads()).map(({ log }) => ({ log, publishedAt: 'once' })) }),
    checkpoint: async (log) => (await store.latestNote(nameOf(log), logId))?.note,
    async entries(log, from, to) {
      const found: Buffer[] = [];
      for await (const { leaves } of store.leaves(nameOf(log), from, to < from + PAGE ? to : from + PAGE))
        for (const { bytes } of leaves) found.push(bytes);
      this.asked += found.length;
      return found;
    },
    inclusion: async (log, index, size) => {
      const { leaf, hashes } = await proofs.inclusion(nameOf(log), index, size);
      return { leaf: leaf.toString(), hashes: hashes.map((hash) => hash.toString('base64')) };
    },
    consistency: async (log, from, to) => (await proofs.consistency(nameOf(log), from, to)).hashes.map((hash) => hash.toString('base64')),
    reconciliation: async () => ({
      logId,
      partitions: await Promise.all(
        Array.from({ length: history.partitions }, async (_, partition) => {
          const tree = store.trees.get(`p${partition}`);
          const counts: Record<string, number> = {};
          for (const { bytes } of tree?.leaves ?? []) {
            const { verdict } = JSON.parse(bytes.toString()) as { verdict: string };
            counts[verdict] = (counts[verdict] ?? 0) + 1;
          }
          const nextOffset = tree?.head.nextOffset ?? 0;
          return { partition, logEnd: await history.log.end(partition), audited: nextOffset, projected: { nextOffset, ...counts } };
        }),
      ),
    }),
  };
}

describe('an audit watched from outside', () => {
  let seed = 9_300;
  let now: number;
  let history: Audited<MemoryAuditStore>;
  let state: MonitorState | undefined;
  let trust: string;
  beforeEach(async () => {
    now = 1_900_000_000_000;
    history = audited(seed++, { partitions: 2 });
    state = undefined;
    await history.round(8);
    trust = await history.trust();
  });
  /** State goes through its text each time, as between two runs. */
  const look = async (source: MonitorSource, more: { fromStart?: boolean } = {}): Promise<MonitorRound> => {
    const round = await monitorRound({ source, keys: parseTrust(trust), now: (now += 10), state, staleMs: STALE_MS, ...more });
    if (round.state !== undefined) state = parseMonitorState(formatMonitorState(round.state));
    return round;
  };
  const names = ({ alarms }: MonitorRound): string[] => alarms.map(({ name, tree }) => `${name} ${tree}`);
  const honest = (): MonitorSource & { asked: number } => served(history, history.store);
  const leavesOf = (store: MemoryAuditStore): Buffer[] => (store.trees.get('p0')?.leaves ?? []).map(({ bytes }) => bytes);

  it.each([true, false])(
    'raises nothing on an honest one that grows, restarts, is rebuilt and changes its key (from the start: %s)',
    async (fromStart) => {
      for (let round = 0; round < 6; round++) {
        expect(names(await look(honest(), { fromStart }))).toEqual([]);
        if (round === 2) await history.store.forget('p1');
        if (round === 3) await history.rotate();
        await history.round(3);
        trust = await history.trust();
      }
      const { trees } = await look(honest(), { fromStart });
      expect(trees.find(({ log }) => log === 'p0')?.size).toBe((await history.store.open('p0', history.logId)).size);
    },
  );

  it('begins and goes on at a cost of what is new, whatever the history', async () => {
    const first = honest();
    await look(first);
    expect(first.asked).toBe(0);
    await history.writer.batch(3);
    const before = (await history.store.heads()).reduce((sum, { size }) => sum + size, 0n);
    await history.round(1);
    const grown = (await history.store.heads()).reduce((sum, { size }) => sum + size, 0n) - before;
    const next = honest();
    await look(next);
    expect(BigInt(next.asked)).toBe(grown);
  });

  it('names a tree that was set back', async () => {
    const old = await history.store.latestNote('p0', history.logId);
    await history.round(6);
    await look(honest());
    const source = honest();
    const back = { ...source, checkpoint: async (log: string) => (log === 'p0' ? old?.note : source.checkpoint(log)) };
    const round = await look(back);
    expect(names(round)).toEqual(['ROLLED_BACK p0']);
    expect(round.alarms[0]?.notes).toHaveLength(2);
    expect(names(await look({ ...source, checkpoint: async (log) => (log === 'p0' ? undefined : source.checkpoint(log)) }))).toEqual([
      'ROLLED_BACK p0',
    ]);
    // What was believed is still believed.
    expect(names(await look(honest()))).toEqual([]);
  });

  it('names a history that the holder of the key wrote anew', async () => {
    await look(honest(), { fromStart: true });
    const leaves = leavesOf(history.store);
    const sizes = (await history.store.notes('p0', history.logId, 0n, 1_000)).map(({ size }) => size);
    await history.round(5);
    const grown = leavesOf(history.store);
    expect(grown.length).toBeGreaterThan(leaves.length);
    const forged = await colluded(history.logId, testSigner, rechained(grown.with(2, edited(grown[2] as Buffer, { time: '1' }))), sizes);
    const round = await look(served({ ...history, partitions: 1 }, forged));
    expect(names(round)).toContain('FORK root');
    expect(round.alarms[0]?.notes?.length).toBeGreaterThan(0);
  });

  it('names two notes of one size', async () => {
    await look(honest());
    const note = (await history.store.latestNote('p0', history.logId))!;
    const says = { origin: `fabula.test/audit/${history.logId}/p0`, size: treeSize(note.size), root: leafHash(Buffer.from('other')) };
    const source = honest();
    expect(
      names(
        await look({
          ...source,
          checkpoint: async (log) => (log === 'p0' ? signCheckpointNote(says, testSigner) : source.checkpoint(log)),
        }),
      ),
    ).toEqual(['FORK p0']);
  });

  it('names a note that only some were shown: the root tree goes on without it', async () => {
    await look(honest());
    const size = treeSize((await history.store.open('p0', history.logId)).size + 1n);
    const says = { origin: `fabula.test/audit/${history.logId}/p0`, size, root: leafHash(Buffer.from('shown to one')) };
    const source = honest();
    await look({ ...source, checkpoint: async (log) => (log === 'p0' ? signCheckpointNote(says, testSigner) : source.checkpoint(log)) });
    for (let i = 0; i < 9; i++) await history.round(2);
    const found = names(await look(honest()));
    expect(found.some((name) => name === 'NOTE_NOT_IN_ROOT p0' || name === 'FORK p0')).toBe(true);
  });

  it('names a note that the root tree is never given', async () => {
    await look(honest());
    const source = honest();
    const rootBefore = await source.checkpoint('root');
    await history.round(6);
    const held = { ...honest(), checkpoint: async (log: string) => (log === 'root' ? rootBefore : honest().checkpoint(log)) };
    expect(names(await look(held))).toEqual([]);
    now += STALE_MS + 1;
    expect(names(await look(held))).toEqual(expect.arrayContaining(['NOTE_NOT_IN_ROOT p0']));
  });

  it('names entries that do not give the signed root, and forged signatures', async () => {
    await look(honest());
    await history.round(6);
    const source = honest();
    const changed = {
      ...source,
      entries: async (log: string, from: bigint, to: bigint) => {
        const entries = await source.entries(log, from, to);
        return log === 'p0' ? entries.map((entry) => edited(entry, { actor: { id: 'x', role: 'reader' } })) : entries;
      },
    };
    const before = state;
    expect(names(await look(changed))).toEqual(['ENTRIES_DIFFER p0']);
    state = before;
    expect(names(await look({ ...source, entries: async (log, from, to) => (log === 'p0' ? [] : source.entries(log, from, to)) }))).toEqual(
      ['ENTRIES_DIFFER p0'],
    );
    state = before;
    const note = (await history.store.latestNote('p1', history.logId))!;
    const says = { origin: `fabula.test/audit/${history.logId}/p1`, size: treeSize(note.size), root: note.root };
    const forged = signCheckpointNote(says, generateSigner(testSigner.name));
    expect(names(await look({ ...source, checkpoint: async (log) => (log === 'p1' ? forged : source.checkpoint(log)) }))).toEqual([
      'BAD_SIGNATURE p1',
    ]);
  });

  it('names silence, a log that shrank, another log, and whoever stands still or counts otherwise', async () => {
    const source = honest();
    await look(source, { fromStart: true });
    const counted = await source.reconciliation();
    const said = (change: (one: (typeof counted.partitions)[number]) => object): MonitorSource => ({
      ...source,
      reconciliation: async () => ({ ...counted, partitions: counted.partitions.map((one) => ({ ...one, ...change(one) })) }),
    });
    expect(names(await look(said(({ logEnd }) => ({ logEnd: logEnd - 1 }))))).toEqual(
      expect.arrayContaining(['LOG_SHRANK p0', 'LOG_SHRANK p1']),
    );
    expect(names(await look(said(({ projected }) => ({ projected: { ...projected, accepted: 0 } }))))).toContain('COUNTS_DIFFER p0');
    const behind = said(({ logEnd, audited: at, projected }) => ({
      logEnd: logEnd + 5,
      audited: at,
      projected: { ...projected, nextOffset: at },
    }));
    expect(names(await look(behind))).toEqual([]);
    now += STALE_MS + 1;
    const late = names(await look(behind));
    expect(late).toEqual(expect.arrayContaining(['AUDIT_STANDS p0', 'PROJECTION_STANDS p0', 'STALE root']));
    expect(names(await look({ ...source, logs: async () => ({ logId: 'another', logs: [] }) }))).toEqual(['OTHER_LOG undefined']);
  });

  it('does not go on from a state that it cannot read', () => {
    for (const text of ['', '{}', '{"v":2}', '{"v":1,"logId":"x","trees":{"p0":{"size":"01","frontier":[]}},"standing":{}}'])
      expect(() => parseMonitorState(text)).toThrow(MalformedMonitorState);
  });
});
