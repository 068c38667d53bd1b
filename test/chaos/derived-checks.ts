import { Auditor, MemoryAuditStore, partitionOfLog, PostgresAuditStore, verifyStore } from '#lib/audit';
import type { EventLog } from '#lib/log';
import { systemClock, systemTimers } from '#lib/platform';
import { foldLog, LiveGeneration, PostgresProjection, readModelDigest } from '#lib/projections';
import type { Arena } from './arena.js';
import { pause } from './crowd.js';
import { foldTruth, type LogTruth } from './log-truth.js';

/** How long nothing may come any more: longer than the story's timed choice and the sweep that takes it. */
const QUIET_MS = 3_500;
const SETTLE_WITHIN_MS = 120_000;

export interface Checked {
  readonly truth: LogTruth;
  /** What differs from what the log gives; empty is good. */
  readonly wrong: readonly string[];
  readonly records: number;
  readonly leaves: number;
  readonly notes: number;
  readonly rows: number;
}

/** How far everything is, per partition. */
export interface Positions {
  readonly ends: readonly number[];
  readonly projector: readonly number[];
  readonly auditor: readonly number[];
}

export async function positionsOf(arena: Arena, log: EventLog): Promise<Positions> {
  const projection = new PostgresProjection(arena.pool, new LiveGeneration(arena.pool, systemClock));
  const ends = await Promise.all(Array.from({ length: arena.partitions }, (_, partition) => log.end(partition)));
  const projector = await Promise.all(ends.map(async (_, partition) => (await projection.readPosition(partition)).nextOffset));
  const heads = new Map((await new PostgresAuditStore(arena.pool).heads()).map(({ log: name, nextOffset }) => [String(name), nextOffset]));
  return { ends, projector, auditor: ends.map((_, partition) => heads.get(`p${partition}`) ?? 0) };
}

/** Waits until nothing is appended any more and read models and audit trees have taken everything. @throws when they do not. */
export async function settle(arena: Arena): Promise<void> {
  const log = await arena.log.open();
  try {
    const deadline = Date.now() + SETTLE_WITHIN_MS;
    let quietSince = Date.now();
    let last = '';
    for (;;) {
      const { ends, projector, auditor } = await positionsOf(arena, log);
      const state = JSON.stringify({ ends, projector, auditor });
      if (state !== last) quietSince = Date.now();
      last = state;
      const caughtUp = ends.every((end, partition) => projector[partition] === end && auditor[partition] === end);
      if (caughtUp && Date.now() - quietSince > QUIET_MS) return;
      if (Date.now() > deadline) throw new Error(`read models or audit do not catch up: ${state}`);
      await pause(100);
    }
  } finally {
    await log.close();
  }
}

/** Read models and audit trees of the arena against a fold of its log from offset 0. Run it when nothing moves any more. */
export async function checkDerived(arena: Arena): Promise<Checked> {
  const log = await arena.log.open();
  try {
    const truth = await foldTruth(log);
    const wrong = [...truth.broken];
    const rows = await compareReadModels(arena, log, truth, wrong);
    const audit = await compareAudit(arena, log, wrong);
    return { truth, wrong, records: truth.partitions.reduce((sum, { length }) => sum + length, 0), rows, ...audit };
  } finally {
    await log.close();
  }
}

async function compareReadModels(arena: Arena, log: EventLog, truth: LogTruth, wrong: string[]): Promise<number> {
  const stored = await readModelDigest(new PostgresProjection(arena.pool, new LiveGeneration(arena.pool, systemClock)));
  const folded = await readModelDigest(await foldLog(await log.id(), truth.partitions));
  for (const [i, position] of folded.positions.entries()) {
    if (stored.positions[i] !== position) wrong.push(`read models: position "${stored.positions[i]}", the fold has "${position}"`);
  }
  let rows = 0;
  for (const [table, { rows: count, sha256 }] of Object.entries(folded.tables)) {
    const other = stored.tables[table as keyof typeof stored.tables];
    rows += count;
    if (other.sha256 !== sha256) wrong.push(`read model ${table} differs from the fold: ${other.rows} rows, the fold has ${count}`);
  }
  return rows;
}

async function compareAudit(arena: Arena, log: EventLog, wrong: string[]): Promise<{ readonly leaves: number; readonly notes: number }> {
  const store = new PostgresAuditStore(arena.pool);
  const { vkey, outside } = await arena.notes();
  const report = await verifyStore({ store, vkey, log, outsideNotes: outside });
  for (const { kind, message } of report.findings) wrong.push(`audit: ${kind}: ${message}`);
  // Trees built now from nothing: the same to the last hash.
  const auditor = new Auditor({ log, store: new MemoryAuditStore(), timers: systemTimers });
  for (const head of await store.heads()) {
    const partition = partitionOfLog(head.log);
    if (partition === undefined) continue;
    const fresh = await auditor.catchUp(partition);
    const hashes = (frontier: readonly Buffer[]): string => frontier.map((hash) => hash.toString('hex')).join();
    if (fresh.size !== head.size || hashes(fresh.frontier) !== hashes(head.frontier))
      wrong.push(`audit ${head.log}: another tree than one built now`);
  }
  const partitions = report.trees.filter(({ log: name }) => partitionOfLog(name) !== undefined);
  return {
    leaves: partitions.reduce((sum, tree) => sum + tree.leaves, 0),
    notes: report.trees.reduce((sum, tree) => sum + tree.notes, 0),
  };
}
