import { partitionOfLog, PostgresAuditStore } from '#lib/audit';
import { systemClock } from '#lib/platform';
import { LiveGeneration, PostgresProjection, readModelDigest } from '#lib/projections';
import { describeWithOwnKafka } from '../support/kafka.js';
import { isLong } from '../support/requirement.js';
import { verified } from '../support/verification.js';
import { Arena } from './arena.js';
import { appendPast } from './bulk-history.js';
import { type Crowd, crowdOf } from './crowd.js';
import { checkDerived, settle } from './derived-checks.js';
import { checkHistory } from './history-checker.js';
import { History } from './history.js';

const PARTITIONS = 4;
const READERS = 4;
const DEVICES = 8;
const TURNS = isLong ? 2_000 : 60;
const PAST = isLong ? { playthroughs: 2_500, turns: 40 } : { playthroughs: 25, turns: 40 };
const ROW = 'kafka 7 derived tables dropped';

/** What is not derived from the log: blobs, what was signed, stamped or pruned, what an operator decided; readers and their keys have a schema of their own. */
const KEPT = [
  'story_blobs',
  'audit_notes',
  'audit_keys',
  'audit_signing_keys',
  'audit_cosignatures',
  'audit_timestamps',
  'audit_bases',
  'audit_stream_bases',
  'audit_pruned',
  'releases',
  'cluster',
  'feed_positions',
  'feed_key',
  'log_identity',
];

/** They hold the access log too, which nothing could build again. */
const SHARED = ['audit_leaves', 'audit_tiles', 'audit_heads'];
const ACCESS = -2;

describeWithOwnKafka('When every derived table was dropped', () => {
  let arena: Arena;
  let crowd: Crowd | undefined;
  beforeAll(async () => {
    arena = await Arena.open({ servers: 1, log: 'kafka', partitions: PARTITIONS });
  }, 300_000);
  afterAll(async () => {
    await crowd?.abandon();
    await arena?.close();
  }, 60_000);

  it(
    'a server that starts builds them again from Kafka and the blobs: the same tables, the same trees, and every kept note holds',
    async () => {
      const figures = await verified(ROW, async () => {
        const beside = await arena.log.open();
        await appendPast(beside, PAST.playthroughs, PAST.turns).finally(() => beside.close());
        const history = new History();
        crowd = await crowdOf(arena, { readers: READERS, devices: DEVICES, seed: 21, history });
        await crowd.start();
        await crowd.turns(TURNS, 600_000);
        await crowd.stop();
        await settle(arena);
        const before = await derived(arena);
        const notes = await arena.notes();
        expect(await arena.stopServer(0)).toBe(0);

        const dropped = await dropDerived(arena);
        const empty = await derived(arena);
        expect(empty).toEqual({ digest: undefined, trees: [] });

        const begun = performance.now();
        await arena.startServer(0);
        await settle(arena);
        const rebuiltMs = Math.round(performance.now() - begun);
        const after = await derived(arena);
        expect(after).toEqual(before);
        const { truth, wrong, records, leaves, notes: checked } = await checkDerived(arena);
        const violations = [...wrong, ...checkHistory(history, truth.playthroughs)];
        expect(violations).toEqual([]);
        // Those that were signed before the loss are still there and were checked against the new trees.
        expect(notes.outside.length).toBeGreaterThan(0);
        expect((await arena.notes()).outside.length).toBeGreaterThanOrEqual(notes.outside.length);
        expect(checked).toBeGreaterThanOrEqual(PARTITIONS);
        return {
          ...{
            records,
            leaves,
            notesChecked: checked,
            notesOutside: notes.outside.length,
            tablesDropped: dropped,
            settledAgainMs: rebuiltMs,
          },
          ...{ tables: Object.keys(before.digest?.tables ?? {}).length, trees: before.trees.length, violations: violations.length },
        };
      });
      expect(figures).toMatchObject({ violations: 0 });
    },
    isLong ? 3_600_000 : 240_000,
  );
});

interface Derived {
  readonly digest: Awaited<ReturnType<typeof readModelDigest>> | undefined;
  /** Size and frontier of the partitions' trees; the root tree grows with every note that is signed. */
  readonly trees: readonly string[];
}

async function derived({ pool }: Arena): Promise<Derived> {
  const { rowCount } = await pool.query(`select 1 from fabula.projection_generations where state = 'live'`);
  const projection = new PostgresProjection(pool, new LiveGeneration(pool, systemClock));
  const heads = await new PostgresAuditStore(pool).heads();
  return {
    digest: (rowCount ?? 0) === 0 ? undefined : await readModelDigest(projection),
    trees: heads
      .filter(({ log }) => partitionOfLog(log) !== undefined)
      .map(({ log, size, frontier }) => `${log} ${size} ${frontier.map((hash) => hash.toString('hex')).join()}`)
      .toSorted(),
  };
}

/** Empties every table of the schema but those named above, and drops every generation of read models. Answers how many tables. */
async function dropDerived({ pool }: Arena): Promise<number> {
  const { rows: schemas } = await pool.query<{ name: string; tables: string }>(
    `select nspname as name, (select count(*) from pg_tables where schemaname = nspname) as tables from pg_namespace where nspname ~ '^projection_[0-9]+$'`,
  );
  for (const { name } of schemas) await pool.query(`drop schema ${name} cascade`);
  const { rows: tables } = await pool.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'fabula' and tablename <> all($1) and tablename not like '%migrations%'`,
    [KEPT],
  );
  for (const shared of SHARED) await pool.query(`delete from fabula.${shared} where log <> ${ACCESS}`);
  const whole = tables.filter(({ name }) => !SHARED.includes(name));
  await pool.query(`truncate ${whole.map(({ name }) => `fabula.${name}`).join(', ')}`);
  return tables.length + schemas.reduce((sum, { tables: count }) => sum + Number(count), 0);
}
