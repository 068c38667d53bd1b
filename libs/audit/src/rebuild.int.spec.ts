import { systemTimers } from '#lib/platform';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { Auditor } from './auditor.js';
import type { AuditHead } from './audit-store.js';
import { MemoryAuditStore } from './memory/memory-audit-store.js';
import { Notary } from './notary.js';
import { PostgresAuditStore } from './postgres/postgres-audit-store.js';
import { ProofRefused, Proofs, TreeBehind } from './proofs.js';
import { rebuildTrees, type TreeRebuild } from './rebuild.js';
import { testSigner } from './testing/audited.js';
import { history, type History } from './testing/histories.js';
import { verifyStore } from './verify-store.js';

const PARTITIONS = 2;
const noTimers = { after: () => () => undefined };

describe('rebuilding the trees of a store that others use', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  beforeEach(() =>
    database.pool.query('truncate fabula.audit_heads, fabula.audit_leaves, fabula.audit_tiles, fabula.audit_notes, fabula.audit_exports'),
  );

  const partitionHeads = async (store: PostgresAuditStore): Promise<AuditHead[]> =>
    (await store.heads()).filter(({ log }) => log !== 'root').toSorted((a, b) => (a.log < b.log ? -1 : 1));
  /** What one auditor alone makes of the log: what every tree must be. */
  async function folded({ log }: History): Promise<AuditHead[]> {
    const auditor = new Auditor({ log, store: new MemoryAuditStore(), timers: noTimers });
    return Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => auditor.catchUp(partition)));
  }
  const notaryOf = async (store: PostgresAuditStore, { log }: History): Promise<Notary> =>
    new Notary({
      store,
      logId: await log.id(),
      partitions: PARTITIONS,
      signers: [testSigner],
      clock: { now: () => 1_800_000_000_000 },
      timers: noTimers,
    });

  it('ends in the same trees while auditors and a notary of other processes go on and the log grows', async () => {
    const made = history(31, PARTITIONS);
    const { log, writer } = made;
    const store = new PostgresAuditStore(database.pool);
    for (let n = 0; n < 30; n++) await writer.batch(8);
    const before = new Auditor({ log, store, timers: noTimers });
    for (let partition = 0; partition < PARTITIONS; partition++) await before.catchUp(partition);
    const notary = await notaryOf(store, made);
    await notary.sign();
    const notes = await store.notes('p0', await log.id(), -1n, 100);
    expect(notes.length).toBeGreaterThan(0);

    const stop = new AbortController();
    const others = [1, 2].map(() => new Auditor({ log, store: new PostgresAuditStore(database.pool), timers: systemTimers }));
    const following = Promise.all(others.map((auditor) => auditor.run(stop.signal)));
    const rebuilt = new AbortController();
    const writing = (async () => {
      while (!rebuilt.signal.aborted) {
        await writer.batch(2);
        await notary.sign();
      }
    })();
    const steps: TreeRebuild[] = [];
    for (let round = 0; round < 3; round++) await rebuildTrees({ store, log, timers: systemTimers, progress: (step) => steps.push(step) });
    rebuilt.abort();
    await writing;
    stop.abort();
    await following;
    await rebuildTrees({ store, log, timers: systemTimers });

    expect(await partitionHeads(store)).toEqual(await folded(made));
    expect(others.flatMap((auditor) => auditor.status()).filter(({ state }) => state === 'stopped')).toEqual([]);
    expect(notary.status().filter(({ state }) => state === 'stopped' || state === 'waiting')).toEqual([]);
    expect(await store.notes('p0', await log.id(), -1n, notes.length)).toEqual(notes);
    const report = await verifyStore({ store, log, vkey: testSigner.verifier.vkey });
    expect(report.findings).toEqual([]);
    // Every partition was shown from its first record to its end.
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const own = steps.filter((step) => step.partition === partition);
      expect(own[0]?.done).toBe(0);
      expect(own.at(-1)?.done).toBe(own.at(-1)?.end);
    }
  });

  it('leaves no auditor with what it remembered of the tree before, and mends what was changed in the store', async () => {
    const made = history(32, PARTITIONS);
    const { log, writer } = made;
    const store = new PostgresAuditStore(database.pool);
    for (let n = 0; n < 10; n++) await writer.batch(8);
    const honest = new Auditor({ log, store, timers: noTimers });
    for (let partition = 0; partition < PARTITIONS; partition++) await honest.catchUp(partition);
    // Somebody changes a hash of the edge, of tiles and head alike, and another process goes on from there.
    const { rows } = await database.pool.query<{ frontier: Buffer }>('select frontier from fabula.audit_heads where log = 0');
    const frontier = Buffer.from(rows[0]?.frontier as Buffer);
    const real = frontier.subarray(0, 32);
    const forged = Buffer.alloc(32, 7);
    await database.pool.query('update fabula.audit_heads set frontier = $1 || substring(frontier from 33) where log = 0', [forged]);
    const { rows: tiles } = await database.pool.query<{ level: number; tile: string; hashes: Buffer }>(
      'select level, tile, hashes from fabula.audit_tiles where log = 0',
    );
    for (const { level, tile, hashes } of tiles) {
      const at = hashes.indexOf(real);
      if (at === -1) continue;
      forged.copy(hashes, at);
      await database.pool.query('update fabula.audit_tiles set hashes = $1 where log = 0 and level = $2 and tile = $3', [
        hashes,
        level,
        tile,
      ]);
    }
    const misled = new Auditor({ log, store, timers: noTimers });
    for (let n = 0; n < 6; n++) await writer.batch(8);
    await misled.catchUp(0);
    expect((await partitionHeads(store))[0]).not.toEqual((await folded(made))[0]);
    await rebuildTrees({ store, log, timers: noTimers });
    for (let n = 0; n < 6; n++) await writer.batch(8);
    for (let partition = 0; partition < PARTITIONS; partition++) await misled.catchUp(partition);
    expect(await partitionHeads(store)).toEqual(await folded(made));
  });

  it('answers proofs of what was signed with "later", not with a refusal, while the tree is away', async () => {
    const made = history(35, PARTITIONS);
    const { log, writer } = made;
    const store = new PostgresAuditStore(database.pool);
    for (let n = 0; n < 10; n++) await writer.batch(8);
    const auditor = new Auditor({ log, store, timers: noTimers });
    for (let partition = 0; partition < PARTITIONS; partition++) await auditor.catchUp(partition);
    await (await notaryOf(store, made)).sign();
    const proofs = new Proofs(store, await log.id());
    const size = (await store.latestNote('p0', await log.id()))?.size ?? 0n;
    const before = await proofs.inclusion('p0', 2n, size);
    await store.forget('p0');
    await expect(proofs.inclusion('p0', 2n, size)).rejects.toBeInstanceOf(TreeBehind);
    await store.open('p0', await log.id());
    await expect(proofs.consistency('p0', 1n, size)).rejects.toBeInstanceOf(TreeBehind);
    await expect(proofs.inclusion('p0', 2n, size + 1n)).rejects.toBeInstanceOf(ProofRefused);
    await rebuildTrees({ store, log, timers: noTimers });
    expect(await proofs.inclusion('p0', 2n, size)).toEqual(before);
  });

  it('keeps the notes in force: a log that tells another story than was signed is refused', async () => {
    const made = history(33, PARTITIONS);
    const store = new PostgresAuditStore(database.pool);
    for (let n = 0; n < 10; n++) await made.writer.batch(8);
    const auditor = new Auditor({ log: made.log, store, timers: noTimers });
    for (let partition = 0; partition < PARTITIONS; partition++) await auditor.catchUp(partition);
    await (await notaryOf(store, made)).sign();
    const other = history(34, PARTITIONS);
    for (let n = 0; n < 10; n++) await other.writer.batch(8);
    const logId = await made.log.id();
    const posing = { ...other.log, partitions: PARTITIONS, id: () => Promise.resolve(logId), end: (p: number) => other.log.end(p) };
    const log = {
      ...posing,
      read: other.log.read.bind(other.log),
      append: other.log.append.bind(other.log),
      close: () => Promise.resolve(),
    };
    await expect(rebuildTrees({ store, log, timers: noTimers })).rejects.toMatchObject({ code: 'NOTE_DISAGREES' });
  });
});
