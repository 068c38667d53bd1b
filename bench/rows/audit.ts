import type { Pool } from 'pg';
import { Auditor, MemoryAuditStore, Notary, openSigningKey, PostgresAuditStore, type AuditStore } from '#lib/audit';
import { canonicalJson, sha256Hex, type Json } from '#lib/canonical';
import type { EventLog } from '#lib/log';
import { systemClock, systemTimers } from '#lib/platform';
import path from 'node:path';
import { createDatabase } from '../databases.js';
import { EnginePlayer } from '../fabula/engine-player.js';
import { openEngineSide, PARTITIONS, type EngineSide } from '../fabula/engine-side.js';
import { readLog, verifyLog } from '../fabula/read-log.js';
import { drivenSide } from '../measure/drive.js';
import { interleaved, type Side } from '../measure/rounds.js';
import { verify, type Row, type RowContext, type RowReport } from '../row.js';

const WRITERS = 32;
const COMMANDS = 20;

/** What the audit costs: commands with auditor and notary at work beside commands without; and how fast the auditor itself is. */
export const audit: Row = async (context) => {
  const audited = await openEngineSide(await createDatabase(context, 'audit_on', 'fabula'));
  const plain = await openEngineSide(await createDatabase(context, 'audit_off', 'fabula'));
  try {
    return [await onAndOff(context, audited, plain), await leaves(context, audited)];
  } finally {
    await Promise.all([audited.close(), plain.close()]);
  }
};

async function onAndOff(context: RowContext, audited: EngineSide, plain: EngineSide): Promise<RowReport> {
  const store = new PostgresAuditStore(audited.pool);
  const auditor = new Auditor({ log: audited.log, store, timers: systemTimers });
  const signer = await openSigningKey(path.join(context.folder, 'audit', 'signing.key'), 'bench.example');
  const notary = new Notary({
    store,
    logId: await audited.log.id(),
    partitions: PARTITIONS,
    signers: [signer],
    clock: systemClock,
    timers: systemTimers,
    intervalMs: 1_000,
  });
  const stop = new AbortController();
  audited.projector.start();
  plain.projector.start();
  const running = [auditor.run(stop.signal), notary.run(stop.signal)];
  const acknowledged = { audited: 0, plain: 0 };
  let behind = 0;
  try {
    const side = async (name: keyof typeof acknowledged, engineSide: EngineSide): Promise<Side> => {
      const engine = await engineSide.engine({ hotBytes: 1024 ** 3 });
      return drivenSide(
        context.seconds,
        { writers: WRITERS, commands: COMMANDS },
        () => new EnginePlayer(engine),
        (operations) => {
          acknowledged[name] += operations;
          if (name === 'audited') behind = Math.max(behind, acknowledged.audited - audits(auditor));
        },
      );
    };
    const caughtUp = async (): Promise<void> => {
      const followed = (side: EngineSide): number => side.projector.status().reduce((sum, { nextOffset }) => sum + nextOffset, 0);
      while (audits(auditor) < acknowledged.audited || followed(audited) < acknowledged.audited || followed(plain) < acknowledged.plain) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const { sides, foreignCpu } = await interleaved(
      { fabula: await side('audited', audited), floor: await side('plain', plain) },
      {
        rounds: context.rounds,
        processes: [context.postgres.pid],
        between: caughtUp,
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)}/s`),
      },
    );
    await caughtUp();
    await notary.sign();
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
      floor: 'Fabula itself without auditor and notary; projectors run on both sides',
      extra: { mostLeavesBehind: behind, notesEveryMs: 1_000 },
    };
  } finally {
    stop.abort();
    await Promise.all(running);
    await Promise.all([audited.projector.stop(), plain.projector.stop()]);
  }
}

const audits = (auditor: Auditor): number => auditor.status().reduce((sum, { size }) => sum + Number(size), 0);

async function leaves(context: RowContext, { log, pool }: EngineSide): Promise<RowReport> {
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
        let previous = '';
        for (const { value } of records.flat())
          previous = sha256Hex(previous + canonicalJson(JSON.parse(Buffer.from(value).toString('utf8')) as Json));
        verify('the naive chain ended', previous.length === 64);
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
    goals: [],
    sides,
    foreignCpu,
    verified: [verify(`two stores hold the same trees of ${count} leaves`, JSON.stringify(trees) === JSON.stringify(inMemory))],
    floor: 'naive: canonical JSON and a SHA-256 chain, in memory, nothing stored',
    extra: { leaves: count, memoryStoreLeavesPerSecond: Math.round(memoryRate) },
  };
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
