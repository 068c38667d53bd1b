import { everyAwait } from '../../../test/support/every-await.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { isLong } from '../../../test/support/requirement.js';
import { verified } from '../../../test/support/verification.js';
import type { AuditStore } from './audit-store.js';
import { kept, leavesOf, lines } from './contract/prune-contract.js';
import { PostgresAuditStore } from './postgres/postgres-audit-store.js';
import { pruneLeaves } from './retention/prune-leaves.js';
import { audited, testSigner } from './testing/audited.js';
import { appending, killableWorld, looking, rotating, signing, type KillableWorld } from './testing/killable.js';
import { verifyStore } from './verify-store.js';

/** Of all statements; every one in the long form. */
const sample = (every: number): number => (isLong ? 1 : every);

describe('an audit process killed at a statement to Postgres, its session ending with it', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await database.drop();
    await verified('5.4 kills of the audit at statements', () => Promise.resolve({ ...figures }));
  });
  const figures: Record<string, number> = {};

  const begin = async (): Promise<KillableWorld> => {
    const { pool } = database;
    // Not `truncate`: that waits for sessions that just end.
    await pool.query('alter table fabula.audit_leaves disable trigger access_log_only_grows');
    for (const table of ['heads', 'leaves', 'tiles', 'term_blocks', 'notes', 'signing_keys', 'keys'])
      await pool.query(`delete from fabula.audit_${table}`);
    await pool.query('alter table fabula.audit_leaves enable trigger access_log_only_grows');
    return killableWorld(new PostgresAuditStore(pool), { storeOf: (process) => new PostgresAuditStore(process.pool(pool)) });
  };

  it('while it appends leaves: another one builds the very tree that the log gives', async () => {
    expect((figures['appendSteps'] = await everyAwait(appending(begin), sample(5)))).toBeGreaterThan(30);
  });

  it('while it signs and releases notes: no note is ever smaller or inconsistent, and signing goes on', async () => {
    expect((figures['signAndReleaseSteps'] = await everyAwait(signing(begin), sample(23)))).toBeGreaterThan(150);
  });

  it('while it tells of accesses: what was answered is kept, once and in order', async () => {
    expect((figures['accessLogSteps'] = await everyAwait(looking(begin), sample(17)))).toBeGreaterThan(80);
  });

  it('while it replaces the signing key: every note that got out verifies by the policy that is kept', async () => {
    expect((figures['signingKeySteps'] = await everyAwait(rotating(begin), sample(19)))).toBeGreaterThan(60);
  });

  it('while it prunes leaves: the store verifies at any moment, and the next one prunes the very same leaves', async () => {
    const { pool } = database;
    await begin();
    const { store, logId, log, round } = audited(74, { partitions: 1, store: new PostgresAuditStore(pool) });
    while ((await store.open('p0', logId)).size < 800n) await round(40);
    const all = await leavesOf(store);
    const expected = lines(all.filter((leaf) => leaf.index >= (BigInt(all.length) / 256n) * 256n || kept(leaf)));
    // What is pruned, or says so, is put back before each run.
    const tables = ['heads', 'leaves', 'tiles', 'term_blocks', 'notes', 'bases', 'stream_bases', 'pruned'].map((table) => `audit_${table}`);
    for (const table of tables) await pool.query(`create table fabula.as_it_was_${table} as table fabula.${table}`);
    const prune = (from: AuditStore) =>
      pruneLeaves({
        ...{ store: from, logId, log: 'p0', retention: 'play', action: 'a-1', beforeOffset: 10 ** 6 },
        ofClass: (leaf) => !kept(leaf),
        expired: () => true,
      });
    const verify = async (withLog: boolean): Promise<void> => {
      const { findings } = await verifyStore({ store, vkey: testSigner.verifier.vkey, ...(withLog ? { log } : {}) });
      if (findings.length > 0) throw new Error(JSON.stringify(findings));
    };
    const steps = await everyAwait(
      {
        begin: async () => {
          for (const table of tables)
            await pool.query(`delete from fabula.${table}; insert into fabula.${table} select * from fabula.as_it_was_${table}`);
          return {};
        },
        run: async (_, process) => void (await prune(new PostgresAuditStore(process.pool(pool)))),
        inspect: () => verify(false),
        recover: async () => void (await prune(store)),
        verify: async () => {
          await verify(true);
          if (lines(await leavesOf(store)).join() !== expected.join()) throw new Error('other leaves are kept');
        },
      },
      sample(13),
    );
    expect((figures['pruneSteps'] = steps)).toBeGreaterThan(40);
  });
});
