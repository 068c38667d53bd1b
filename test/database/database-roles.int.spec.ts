import { randomBytes } from 'node:crypto';
import { Client, Pool } from 'pg';
import { Auditor, AccessLog, keepingTerms, announceKey } from '#lib/audit';
import { createMemoryLog } from '#lib/log';
import { createReadSide, DeadLetters, Projector } from '#lib/projections';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { PostgresAuditStore } from '../../libs/audit/src/postgres/postgres-audit-store.js';
import { Notary } from '../../libs/audit/src/notary.js';
import { testSigner } from '../../libs/audit/src/testing/audited.js';
import { history } from '../../libs/audit/src/testing/histories.js';
import { generateSigner } from '../../libs/audit/src/tlog/index.js';
import { applyGrants, DATABASE_ROLES, GRANTS, KEY_GRANTS, runMigrations, type DatabaseRole } from '../../migrations/index.js';

const timers = { after: () => () => undefined };
const DENIED = '42501';

describe('database users of their own', () => {
  const password = randomBytes(8).toString('hex');
  const mark = randomBytes(4).toString('hex');
  const nameOf = (role: DatabaseRole): string => `spec_${mark}_${role}`;
  let database: TestDatabase;
  const pools = new Map<DatabaseRole, Pool>();
  const as = (role: DatabaseRole): Pool => pools.get(role) as Pool;

  beforeAll(async () => {
    database = await createTestDatabase();
    // A database made from a template has its tables with their grants, but not the grants on the database itself.
    await database.pool.query('comment on schema fabula is null');
    await runMigrations(database.url);
    for (const role of DATABASE_ROLES) {
      await database.pool.query(`create role ${nameOf(role)} login password '${password}' in role ${role}`);
      const url = new URL(database.url);
      url.username = nameOf(role);
      url.password = password;
      const pool = new Pool({ connectionString: url.href, max: 3 });
      pool.on('error', () => undefined);
      pools.set(role, pool);
    }
  });
  afterAll(async () => {
    for (const pool of pools.values()) await pool.end();
    for (const role of DATABASE_ROLES) await database.pool.query(`drop owned by ${nameOf(role)}`);
    await database.drop();
    const administrator = new Client({ connectionString: database.url.replace(/\/[^/]*$/, '/postgres') });
    await administrator.connect();
    for (const role of DATABASE_ROLES) await administrator.query(`drop role ${nameOf(role)}`);
    await administrator.end();
  });

  it('have a line for every table that there is', async () => {
    const tablesOf = async (schema: string): Promise<string[]> => {
      const { rows } = await database.pool.query<{ name: string }>(
        `select relname as name from pg_class where relnamespace = $1::regnamespace and relkind in ('r', 'p') order by 1`,
        [schema],
      );
      return rows.map(({ name }) => name);
    };
    expect(await tablesOf('fabula')).toEqual(Object.keys(GRANTS).toSorted());
    expect(await tablesOf('fabula_keys')).toEqual(Object.keys(KEY_GRANTS).toSorted());
  });

  it('append, sign, tell of accesses and announce keys, each as its own user', async () => {
    const { log, writer } = history(31, 2);
    const logId = await log.id();
    const [auditing, signing, serving, deciding] = (['fabula_auditor', 'fabula_signer', 'fabula_api', 'fabula_compliance'] as const).map(
      (role) => new PostgresAuditStore(as(role)),
    ) as [PostgresAuditStore, PostgresAuditStore, PostgresAuditStore, PostgresAuditStore];
    let now = 1_800_000_000_000;
    const clock = { now: () => now++ };
    const newer = generateSigner(testSigner.name);
    const notary = new Notary({
      store: signing,
      logId,
      partitions: 2,
      signers: [testSigner, newer],
      clock,
      timers,
      terms: keepingTerms(signing, logId),
    });
    const auditor = new Auditor({ log, store: auditing, timers });
    // Before there is any tree: the signer opens empty heads.
    await notary.sign();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 40; i++) await writer.batch(10);
      await auditor.catchUp(0);
      await auditor.catchUp(1);
      await new AccessLog({ store: serving, logId, timers }).record({
        event: 'sensitive_read',
        at: now,
        actor: 'a',
        roles: [],
        action: 'look',
        outcome: 'ok',
        correlationId: null,
      });
      await notary.sign();
      if (round === 1) await announceKey({ store: deciding, logId, vkey: newer.verifier.vkey, now });
    }
    expect(notary.status().map(({ log: tree, state, problem }) => [tree, state, problem?.message])).toEqual([
      ['p0', 'current', undefined],
      ['p1', 'current', undefined],
      ['root', 'current', undefined],
      ['access', 'current', undefined],
    ]);
    const { rows } = await database.pool.query<{ blocks: string }>('select count(*) as blocks from fabula.audit_term_blocks');
    expect(Number(rows[0]?.blocks)).toBeGreaterThan(0);
    await auditing.forget('p1');
    await auditor.catchUp(1);
  });

  it('release a record of an envelope that no projector knows, as the user that serves', async () => {
    const clock = { now: () => Date.now() };
    const log = createMemoryLog({ partitions: 1, clock });
    const logId = await log.id();
    const offset = await log.append(0, [{ key: 'x', value: Buffer.from('{"v":2}') }]);
    const sideOf = (role: DatabaseRole): ReturnType<typeof createReadSide> =>
      createReadSide({ pool: as(role), logId, partitions: 1, clock, timers });
    const projector = await Projector.open({ log, store: sideOf('fabula_projector').projection, timers, maxRecords: 9 });
    await projector.catchUp(0).catch(() => undefined);
    const { live, projection } = sideOf('fabula_api');
    const letters = new DeadLetters({ pool: as('fabula_api'), logId, live, projection });
    await expect(letters.release(0, offset, 'an-operator', 'a trial of version 2')).resolves.toMatchObject({
      kind: 'released',
      letter: { kind: 'unknown-envelope', status: 'released' },
    });
    const n = await live.current();
    for (const change of [`next_offset = 9`, `log_id = 'another'`, `epoch = 9`])
      await expect(as('fabula_api').query(`update projection_${n}.positions set ${change}`)).rejects.toMatchObject({ code: DENIED });
    // The position is held while somebody decides: the projector cannot pass the record meanwhile. So is the auditor's head.
    await database.pool.query(`insert into fabula.audit_heads (log, log_id) values (0, $1) on conflict do nothing`, [logId]);
    for (const row of [`projection_${n}.positions where partition = 0`, 'fabula.audit_heads where log = 0'])
      expect((await as('fabula_api').query(`select 1 from ${row} for update`)).rowCount).toBe(1);
  });

  const leaf = (tree: number): string =>
    `insert into fabula.audit_leaves (log, leaf_index, log_offset, time, accepted, leaf) values (${tree}, 9000001, 9000001, 0, false, 'x')`;
  const note = `insert into fabula.audit_notes (log, log_id, size, root, note, signed_at, published_at, root_index)
    values (0, 'log', 9000001, decode(repeat('00', 32), 'hex'), 'forged', 0, 0, 9000001)`;
  const forbidden: readonly [DatabaseRole, string, string][] = [
    ['fabula_auditor', 'write a note', note],
    ['fabula_auditor', 'change a note', `update fabula.audit_notes set note = 'forged'`],
    ['fabula_auditor', 'take a note away', 'delete from fabula.audit_notes'],
    ['fabula_auditor', 'write a leaf of the root tree', leaf(-1)],
    ['fabula_auditor', 'announce a key', `insert into fabula.audit_signing_keys values ('log', 9, 'key', '{}', null, 0)`],
    ['fabula_auditor', 'change a leaf', `update fabula.audit_leaves set leaf = 'x' where log = 0`],
    ['fabula_auditor', 'write into the log', `insert into fabula.log_records select * from fabula.log_records`],
    ['fabula_projector', 'write a note', note],
    ['fabula_projector', 'write a leaf', leaf(0)],
    ['fabula_projector', 'write a leaf of the root tree', leaf(-1)],
    ['fabula_projector', 'write into the log', `insert into fabula.log_records select * from fabula.log_records`],
    ['fabula_signer', 'write a leaf of a partition', leaf(0)],
    ['fabula_signer', 'take a leaf away', 'delete from fabula.audit_leaves'],
    [
      'fabula_signer',
      'move the head of a partition',
      'update fabula.audit_heads set size = size + 1, next_offset = next_offset + 1 where log = 0',
    ],
    ['fabula_signer', 'take a note away', 'delete from fabula.audit_notes'],
    ['fabula_signer', 'destroy a key', 'update fabula_keys.subject_keys set wrapped_key = null, destroyed_at = now()'],
    ['fabula_api', 'write a note', note],
    ['fabula_api', 'write a leaf of a partition', leaf(0)],
    [
      'fabula_api',
      'move the head of a partition',
      'update fabula.audit_heads set size = size + 1, next_offset = next_offset + 1 where log = 0',
    ],
    ['fabula_api', 'take an entry of the access log away', 'delete from fabula.audit_leaves where log = -2'],
    ['fabula_api', 'destroy a key', 'update fabula_keys.subject_keys set wrapped_key = null, destroyed_at = now()'],
    ['fabula_api', 'unlink a person', 'delete from fabula_keys.subjects'],
    ['fabula_api', 'make schemas', 'create schema mine'],
    ['fabula_engine', 'destroy a key', 'update fabula_keys.subject_keys set wrapped_key = null, destroyed_at = now()'],
    ['fabula_engine', 'change a record', `update fabula.log_records set value = 'x'`],
    ['fabula_engine', 'take records away', 'delete from fabula.log_records'],
    ['fabula_publisher', 'write a leaf of a partition', leaf(0)],
    ['fabula_publisher', 'destroy a key', 'delete from fabula_keys.subject_keys'],
    ['fabula_compliance', 'write a note', note],
    ['fabula_compliance', 'write a leaf of a partition', leaf(0)],
    ['fabula_base', 'change a table', 'alter table fabula.audit_heads disable trigger all'],
    ['fabula_base', 'empty a table', 'truncate fabula.audit_notes'],
  ];
  it.each(forbidden)('%s may not %s', async (role, _, statement) => {
    await expect(as(role).query(statement)).rejects.toMatchObject({ code: DENIED });
  });

  it('cost the auditor one comparison per leaf, and whoever owns the tables nothing', async () => {
    const plan = async (pool: Pool): Promise<string> => {
      const { rows } = await pool.query<{ 'QUERY PLAN': string }>(
        'explain select leaf from fabula.audit_leaves where log = 0 and leaf_index < 100',
      );
      return rows.map((row) => row['QUERY PLAN']).join('\n');
    };
    // Reading is by `true`, which the planner takes away: the same plan.
    expect(await plan(as('fabula_auditor'))).toBe(await plan(database.pool));
    const { rows } = await database.pool.query<{ forced: boolean }>(
      `select bool_or(relforcerowsecurity) as forced from pg_class where relnamespace = 'fabula'::regnamespace`,
    );
    expect(rows).toEqual([{ forced: false }]);
  });

  it('find a database up to date, or say what it lacks; only its owner changes it', async () => {
    const url = new URL(database.url);
    url.username = nameOf('fabula_engine');
    url.password = password;
    expect(await runMigrations(url.href)).toEqual([]);
    await database.pool.query(`update fabula.migrations set name = 'Gone' where name = 'KnownLog1795000001000'`);
    await expect(runMigrations(url.href)).rejects.toThrow('lacks KnownLog1795000001000, and this user may not migrate it');
    await database.pool.query(`update fabula.migrations set name = 'KnownLog1795000001000' where name = 'Gone'`);
  });

  it('get their rights once, by whoever owns the tables, and again when the list has changed', async () => {
    const client = new Client({ connectionString: database.url });
    await client.connect();
    const marked = async (): Promise<string> =>
      (await client.query<{ mark: string }>(`select obj_description('fabula'::regnamespace, 'pg_namespace') as mark`)).rows[0]?.mark ?? '';
    try {
      const before = await marked();
      expect(before).toMatch(/^grants [0-9a-f]{64}$/);
      await client.query('revoke select on fabula.migrations from fabula_base');
      await applyGrants(client, 'fabula');
      await expect(as('fabula_base').query('select 1 from fabula.migrations')).rejects.toMatchObject({ code: DENIED });
      await client.query(`comment on schema fabula is 'grants of before'`);
      await applyGrants(client, 'fabula');
      expect(await marked()).toBe(before);
      expect((await as('fabula_base').query('select 1 from fabula.migrations')).rowCount).toBeGreaterThan(0);
    } finally {
      await client.end();
    }
  });
});
