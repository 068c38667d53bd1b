import type { Pool } from 'pg';
import { Auditor, keepingTerms, MemoryAuditStore, Notary, openSigningKey, PostgresAuditStore, type AuditStore } from '#lib/audit';
import { canonicalJson, sha256Hex } from '#lib/canonical';
import { PacedReads, type EventLog } from '#lib/log';
import { systemClock, systemTimers } from '#lib/platform';
import path from 'node:path';
import { createDatabase } from '../databases.js';
import { EnginePlayer } from '../fabula/engine-player.js';
import { openEngineSide, PARTITIONS, type EngineSide } from '../fabula/engine-side.js';
import { readLog, verifyLog } from '../fabula/read-log.js';
import { drive } from '../measure/drive.js';
import { interleaved, type Side } from '../measure/rounds.js';
import { exported } from './audit-export.js';
import { verify, type Row, type RowContext, type RowReport } from '../row.js';

const WRITERS = 32;
const COMMANDS = 20;
/** As the server lets records gather for its auditor. */
const AUDIT_EVERY_MS = 250;
/** As a server signs unless told otherwise. */
const NOTES_EVERY_MS = 2_000;

/** What the audit costs, paced and signed as in a server: commands with auditor and notary at work beside commands without; and how fast the auditor itself is. */
export const audit: Row = async (context) => {
  const audited = await openEngineSide(await createDatabase(context, 'audit_on', 'fabula'), undefined, true);
  const plain = await openEngineSide(await createDatabase(context, 'audit_off', 'fabula'), undefined, true);
  try {
    const reports = [await onAndOff(context, audited, plain), await leaves(context, audited, plain)];
    return [...reports, await exported(context, audited)];
  } finally {
    await Promise.all([audited.close(), plain.close()]);
  }
};

async function onAndOff(context: RowContext, audited: EngineSide, plain: EngineSide): Promise<RowReport> {
  const store = new PostgresAuditStore(audited.pool);
  const paced = new PacedReads(systemTimers, AUDIT_EVERY_MS);
  const auditor = new Auditor({ log: paced.of(audited.tail), store, timers: systemTimers });
  const signer = await openSigningKey(path.join(context.folder, 'audit', 'signing.key'), 'bench.example');
  const notary = new Notary({
    store,
    logId: await audited.log.id(),
    partitions: PARTITIONS,
    signers: [signer],
    clock: systemClock,
    timers: systemTimers,
    intervalMs: NOTES_EVERY_MS,
    terms: keepingTerms(store, await audited.log.id()),
  });
  const stop = new AbortController();
  audited.projector.start();
  plain.projector.start();
  const running = [auditor.run(stop.signal), notary.run(stop.signal)];
  const acknowledged = { audited: 0, plain: 0 };
  let behind = 0;
  try {
    const followed = ({ projector }: EngineSide): number => projector.status().reduce((sum, { nextOffset }) => sum + nextOffset, 0);
    const caughtUp = async (name: keyof typeof acknowledged, engineSide: EngineSide): Promise<void> => {
      const done = (): boolean =>
        followed(engineSide) >= acknowledged[name] && (name === 'plain' || audits(auditor) >= acknowledged.audited);
      while (!done()) {
        engineSide.hurry();
        if (name === 'audited') for (let partition = 0; partition < PARTITIONS; partition++) paced.hurry(partition);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      if (name === 'audited') await notary.sign();
    };
    // All that follows from a round's commands, its last notes too, is done within that round and counts for it: nothing is left for the other side.
    const side = async (name: keyof typeof acknowledged, engineSide: EngineSide): Promise<Side> => {
      const engine = await engineSide.engine({ hotBytes: 1024 ** 3 });
      return async (round) => {
        const begun = performance.now();
        const { operations, latencies } = await drive(() => new EnginePlayer(engine), {
          writers: WRITERS,
          commands: COMMANDS,
          ms: 1000 * (round === 0 ? Math.min(2, context.seconds) : context.seconds),
        });
        acknowledged[name] += operations;
        if (name === 'audited') behind = Math.max(behind, acknowledged.audited - audits(auditor));
        await caughtUp(name, engineSide);
        return { value: operations / ((performance.now() - begun) / 1000), operations, ...(latencies && { latencies }) };
      };
    };
    const { sides, foreignCpu } = await interleaved(
      { fabula: await side('audited', audited), floor: await side('plain', plain) },
      {
        rounds: context.rounds,
        processes: [context.postgres.pid],
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)}/s`),
      },
    );
    const signed = notary.status().reduce((sum, { log, size }) => sum + (log === 'root' ? 0 : Number(size)), 0);
    return {
      row: 'audit',
      unit: 'commands/s',
      goals: [{ to: 'floor', atLeast: 0.9 }],
      sides,
      foreignCpu,
      verified: [
        await verifyLog(audited.log, acknowledged.audited),
        await verifyLog(plain.log, acknowledged.plain),
        verify(
          'the trees hold a leaf per command, and all are under a signed note',
          audits(auditor) === acknowledged.audited && signed === audits(auditor),
        ),
      ],
      floor: 'Fabula itself without auditor and notary; projectors run on both sides, and what follows from a round counts for it',
      extra: { mostLeavesBehind: behind, notesEveryMs: NOTES_EVERY_MS },
    };
  } finally {
    stop.abort();
    await Promise.all(running);
    await Promise.all([audited.projector.stop(), plain.projector.stop()]);
  }
}

const audits = (auditor: Auditor): number => auditor.status().reduce((sum, { size }) => sum + Number(size), 0);

async function leaves(context: RowContext, { log, pool }: EngineSide, beside: EngineSide): Promise<RowReport> {
  const records = await readLog(log);
  const count = records.reduce((sum, partition) => sum + partition.length, 0);
  let trees: readonly string[] = [];
  const { sides, foreignCpu } = await interleaved(
    {
      fabula: async () => {
        await forgetAudit(pool);
        const begun = performance.now();
        trees = await catchUp(log, new PostgresAuditStore(pool));
        return { value: count / ((performance.now() - begun) / 1000), operations: count };
      },
      floor: async () => {
        const begun = performance.now();
        const kept = await naiveChain(beside.pool, log);
        verify('the naive chain holds every record', kept === count, `${kept}`);
        return { value: count / ((performance.now() - begun) / 1000), operations: count };
      },
    },
    {
      rounds: context.rounds,
      processes: [context.postgres.pid],
      onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)} leaves/s`),
    },
  );
  const begun = performance.now();
  const inMemory = await catchUp(log, new MemoryAuditStore());
  const memoryRate = count / ((performance.now() - begun) / 1000);
  return {
    row: 'audit-leaves',
    unit: 'leaves/s',
    goals: [{ to: 'floor', atLeast: 0.8 }],
    sides,
    foreignCpu,
    verified: [verify(`two stores hold the same trees of ${count} leaves`, JSON.stringify(trees) === JSON.stringify(inMemory))],
    floor: 'naive: canonical JSON and a SHA-256 chain in one table of the same Postgres, findable by stream, correlation id and actor too',
    extra: { leaves: count, memoryStoreLeavesPerSecond: Math.round(memoryRate) },
  };
}

/** An audit log as is often written: one chain over all records; searched for by the same fields. Answers how many it holds. */
async function naiveChain(pool: Pool, log: EventLog): Promise<number> {
  await pool.query(`drop table if exists naive_audit`);
  await pool.query(
    `create table naive_audit (n bigint primary key, at bigint, stream text, correlation text, actor text, record text, hash bytea)`,
  );
  for (const column of ['stream', 'correlation', 'actor', 'at']) await pool.query(`create index on naive_audit (${column}, n)`);
  let previous = '';
  let n = 0;
  for (let partition = 0; partition < log.partitions; partition++)
    for await (const { records } of log.read(partition, 0, { upTo: await log.end(partition) })) {
      const rows = records.map(({ value, time }) => {
        const record = JSON.parse(Buffer.from(value).toString('utf8')) as { stream: string; correlationId: string; actor: { id: string } };
        const text = canonicalJson(record);
        previous = sha256Hex(previous + text);
        return { n: n++, at: time, stream: record.stream, correlation: record.correlationId, actor: record.actor.id, text, hash: previous };
      });
      await pool.query(
        `insert into naive_audit select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[])`,
        [
          ...(['n', 'at', 'stream', 'correlation', 'actor', 'text'] as const).map((name) => rows.map((row) => row[name])),
          rows.map(({ hash }) => Buffer.from(hash, 'hex')),
        ],
      );
    }
  const { rows } = await pool.query<{ kept: string }>('select count(*) as kept from naive_audit');
  return Number(rows[0]?.kept);
}

/** Every partition's tree from the log's first record: size and the hashes of its frontier. */
async function catchUp(log: EventLog, store: AuditStore): Promise<readonly string[]> {
  const auditor = new Auditor({ log, store, timers: systemTimers });
  const trees: string[] = [];
  for (let partition = 0; partition < log.partitions; partition++) {
    const { size, frontier } = await auditor.catchUp(partition);
    trees.push(`${size} ${frontier.map((hash) => hash.toString('hex')).join(' ')}`);
  }
  return trees;
}

async function forgetAudit(pool: Pool): Promise<void> {
  const { rows } = await pool.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'fabula' and tablename like 'audit\\_%'`,
  );
  await pool.query(`truncate ${rows.map(({ name }) => name).join(', ')}`);
}
