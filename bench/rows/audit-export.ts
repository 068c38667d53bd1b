import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { keepingTerms, Notary, openSigningKey, partitionLog, planExport, PostgresAuditStore, verifyBundle, writeBundle } from '#lib/audit';
import { systemClock, systemTimers } from '#lib/platform';
import { PARTITIONS, type EngineSide } from '../fabula/engine-side.js';
import { interleaved, median } from '../measure/rounds.js';
import { verify, type RowContext, type RowReport } from '../row.js';

/** Leaves per second. */
const ENOUGH = 50_000;

/** An export of every leaf of that side's store, and the verifier on it beside SHA-256 alone over the same leaves. */
export async function exported(context: RowContext, { log, pool }: EngineSide): Promise<RowReport> {
  const store = new PostgresAuditStore(pool);
  const logId = await log.id();
  const signer = await openSigningKey(path.join(context.folder, 'audit', 'signing.key'), 'bench.example');
  const terms = keepingTerms(store, logId);
  await new Notary({ store, logId, partitions: PARTITIONS, signers: [signer], clock: systemClock, timers: systemTimers, terms }).sign();
  const trees = Array.from({ length: PARTITIONS }, (_, partition) => partitionLog(partition));
  const plan = await planExport(
    store,
    logId,
    trees.map((tree) => ({ log: tree, from: 0n })),
  );
  const file = path.join(context.folder, 'export.tar');
  const handle = await open(file, 'w');
  let bytes = 0;
  const began = performance.now();
  await writeBundle({
    ...{ store, logId, signer, id: 'bench', createdAt: Date.now(), plan },
    write: async (chunk) => {
      bytes += chunk.length;
      await handle.writeFile(chunk);
    },
  });
  await handle.sync();
  const exportSeconds = (performance.now() - began) / 1000;
  await handle.close();
  const leaves: Buffer[] = [];
  for (const tree of trees) for await (const page of store.leaves(tree, 0n, 1n << 40n)) leaves.push(...page.leaves.map((one) => one.bytes));
  const count = leaves.length;
  let verified = 0;
  const { sides, foreignCpu } = await interleaved(
    {
      fabula: async () => {
        const begun = performance.now();
        const report = await verifyBundle(file, { vkey: signer.verifier.vkey });
        const took = (performance.now() - begun) / 1000;
        verify('the export verifies', report.ok);
        verified = report.trees.reduce((sum, tree) => sum + tree.leaves, 0);
        return { value: count / took, operations: count };
      },
      floor: () => {
        const begun = performance.now();
        let last = '';
        for (const leaf of leaves) last = createHash('sha256').update(leaf).digest('hex');
        verify('the last leaf was hashed', last.length === 64);
        return Promise.resolve({ value: count / ((performance.now() - begun) / 1000), operations: count });
      },
    },
    {
      rounds: context.rounds,
      processes: [],
      onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)} leaves/s verified`),
    },
  );
  return {
    row: 'audit-verify',
    unit: 'leaves/s',
    // 50,000 leaves/s, or a quarter of SHA-256 where that is less.
    goals: [{ to: 'floor', atLeast: Math.min(0.25, ENOUGH / median(sides.floor?.samples ?? [])) }],
    sides,
    foreignCpu,
    verified: [verify(`all ${count} leaves are in the export and give the signed roots`, verified === count)],
    floor: 'SHA-256 alone over the same leaves in memory',
    extra: { leaves: count, exportBytes: bytes, exportMBPerSecond: Math.round((bytes / 1e6 / exportSeconds) * 10) / 10 },
  };
}
