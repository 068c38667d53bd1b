import { copyFile, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { openPostgresLog } from '#lib/log';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { walk } from './auto-player.js';
import { eventually } from './expectations.js';

jest.setTimeout(60_000);

const PARTITIONS = ['0', '1', '2', '3'];

/** Values of one metric by the value of their only label, '' without one. */
function valuesOf(text: string, name: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [, labels, value] of text.matchAll(new RegExp(`^${name}(?:\\{([^}]*)\\})? (\\S+)$`, 'gm')))
    found[/"(.*)"/.exec(labels ?? '')?.[1] ?? ''] = Number(value);
  return found;
}
interface Progress {
  readonly lagRecords: number;
  readonly lagSeconds: number | null;
}
interface Operations {
  readonly partitions:
    | readonly {
        readonly partition: number;
        readonly end: number;
        readonly engine: { readonly pending: number };
        readonly projector: Progress | null;
        readonly auditor: Progress | null;
        readonly publisher: object | null;
      }[]
    | null;
  readonly commands: { readonly outcomes: Readonly<Record<string, number>>; readonly p99Ms: number | null };
  readonly degraded: readonly object[];
}

const sum = (values: Record<string, number>): number => Object.values(values).reduce((total, value) => total + value, 0);

describe('what operators see of running servers', () => {
  let database: TestDatabase;
  let first: ServerProcess;
  let second: ServerProcess | undefined;
  let otherDir: string | undefined;
  const scrape = async (server: ServerProcess = first): Promise<string> => {
    const response = await fetch(`${server.url}/metrics`);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/plain; version=0.0.4')]);
    return response.text();
  };
  const ownersAt = async (server: ServerProcess): Promise<readonly (string | null)[]> => {
    const operator = new ApiClient(server.url, await server.token(['operator']));
    const { body } = await operator.rest('GET', '/admin/projections');
    return (body as { partitions: readonly { owner: string | null }[] }).partitions.map(({ owner }) => owner);
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    first = await ServerProcess.start({ databaseUrl: database.url, env: { FABULA_CHECKPOINT_INTERVAL_MS: '200' } });
    for (let n = 0; n < 4; n++) await walk(new ApiClient(first.url, await first.token(['reader'], `reader-${n}`)), 'the-cloakroom', n, 12);
  });
  afterAll(async () => {
    await second?.stop();
    if (otherDir !== undefined) await rm(otherDir, { recursive: true, force: true });
    await first.stop();
    await database.drop();
  });

  test('every metric of Fabula is in the reference, with its help, and every one there exists', async () => {
    const reference = await readFile(path.join(__dirname, '../../docs/reference/metrics.md'), 'utf8');
    const documented = [...reference.matchAll(/^\| `(fabula_\w+)` +\| (\w+) +\|/gm)].map(([, name, kind]) => `${name} ${kind}`);
    const exposed = [...(await scrape()).matchAll(/^# TYPE (fabula_\w+) (\w+)$/gm)].map(([, name, kind]) => `${name} ${kind}`);
    expect(exposed.length).toBeGreaterThan(15);
    expect(exposed.toSorted()).toEqual(documented.toSorted());
    for (const [, name, help] of (await scrape()).matchAll(/^# HELP (fabula_\w+) (.+)$/gm))
      expect([name, reference.includes(help ?? '?')]).toEqual([name, true]);
  });

  test('position and lag of projector and auditor are given by partition, in records and seconds', async () => {
    const { rows } = await database.pool.query<{ partition: number; end: string }>(
      'select partition, next_offset as end from fabula.log_partitions order by 1',
    );
    const ends = Object.fromEntries(rows.map(({ partition, end }) => [String(partition), Number(end)]));
    expect(sum(ends)).toBeGreaterThan(20);
    for (const role of ['projector', 'auditor'])
      await eventually(async () => {
        const text = await scrape();
        const at = valuesOf(text, `fabula_${role}_next_offset`);
        const records = valuesOf(text, `fabula_${role}_lag_records`);
        const seconds = valuesOf(text, `fabula_${role}_lag_seconds`);
        expect([Object.keys(at), Object.keys(records)]).toEqual([PARTITIONS, PARTITIONS]);
        return JSON.stringify(at) === JSON.stringify(ends) && sum(records) === 0 && sum(seconds) === 0 && Object.keys(seconds).length === 4
          ? true
          : undefined;
      }, `the ${role} is at the end of the log`);
  });

  test('the engine tells of commands, hot streams and bytes, the pool of its connections, the notary of its notes', async () => {
    const text = await eventually(async () => {
      const seen = await scrape();
      return sum(valuesOf(seen, 'fabula_pending_commands')) === 0 ? seen : undefined;
    }, 'no command is under way');
    expect(Object.keys(valuesOf(text, 'fabula_pending_commands'))).toEqual(PARTITIONS);
    expect(sum(valuesOf(text, 'fabula_hot_streams'))).toBeGreaterThanOrEqual(4);
    expect(sum(valuesOf(text, 'fabula_hot_bytes'))).toBeGreaterThan(1_000);
    expect(Object.keys(valuesOf(text, 'fabula_tail_bytes'))).toEqual(PARTITIONS);
    expect(text).toMatch(/^fabula_commands_total\{command="start",outcome="accepted"\} 4$/m);
    const connections = valuesOf(text, 'fabula_database_connections');
    expect(Object.keys(connections)).toEqual(['in_use', 'idle']);
    expect(sum(connections)).toBeGreaterThan(0);
    expect(valuesOf(text, 'fabula_database_waiting')).toEqual({ '': 0 });
    expect(valuesOf(text, 'fabula_subscriptions')).toEqual({ '': 0 });
    expect(valuesOf(text, 'fabula_parked_streams')).toEqual({ '': 0 });
    const ages = valuesOf(text, 'fabula_audit_note_age_seconds');
    expect(Object.keys(ages)).toContain('root');
    for (const age of Object.values(ages)) expect(age >= 0 && age < 120).toBe(true);
  });

  test('GET /admin/operations says who has what, how far everything is, what comes in, and that nothing is degraded', async () => {
    const operator = new ApiClient(first.url, await first.token(['operator']));
    await walk(new ApiClient(first.url, await first.token(['reader'], 'reader-9')), 'the-cloakroom', 9, 6);
    const report = await eventually(async () => {
      const { status, body } = await operator.rest('GET', '/admin/operations');
      expect(status).toBe(200);
      const seen = body as Operations;
      // A timed choice may be made at any moment.
      const caughtUp =
        seen.partitions?.every(
          ({ engine, projector, auditor }) => engine.pending === 0 && projector?.lagRecords === 0 && auditor?.lagRecords === 0,
        ) === true;
      return caughtUp && seen.degraded.length === 0 ? seen : undefined;
    }, 'projector and auditor are at the end of the log');
    expect(report).toMatchObject({
      address: first.url,
      processes: [first.url],
      log: { kind: 'postgres', partitions: 4 },
      parkedStreams: 0,
      deadLetters: { open: 0 },
    });
    expect(
      report.partitions?.map(({ partition, end, engine, projector, auditor, publisher }) => ({
        partition,
        engine,
        projector,
        auditor,
        publisher,
        end: end > 0,
      })),
    ).toEqual(
      PARTITIONS.map((partition, n) => {
        const nextOffset = report.partitions?.[n]?.end;
        const done = { owner: 'self', nextOffset, lagRecords: 0, lagSeconds: 0 };
        return {
          partition: Number(partition),
          engine: { owner: 'self', breaker: 'closed', pending: 0 },
          projector: done,
          auditor: done,
          publisher: null,
          end: expect.any(Boolean) as unknown,
        };
      }),
    );
    expect(report.commands.outcomes['accepted']).toBeGreaterThan(0);
    expect(report.commands.p99Ms).toBeGreaterThan(0);
    const reader = await new ApiClient(first.url, await first.token(['reader'])).rest('GET', '/admin/operations');
    expect(reader.status).toBe(403);
  });

  test('partitions that another process took are told of there and no longer here, and each process names the owner', async () => {
    expect(await ownersAt(first)).toEqual(['self', 'self', 'self', 'self']);
    // One audit, one key.
    otherDir = await temporaryDataDir();
    await copyFile(path.join(first.dataDir, 'audit-signing.key'), path.join(otherDir, 'audit-signing.key'));
    second = await ServerProcess.start({ databaseUrl: database.url, dataDir: otherDir });
    const other = second;
    const [here, there] = await eventually(async () => {
      const owners = [await ownersAt(first), await ownersAt(other)] as const;
      return owners.every((own) => own.filter((owner) => owner === 'self').length === 2 && !own.includes(null)) ? owners : undefined;
    }, 'each process owns two partitions');
    here.forEach((owner, partition) => expect(owner === 'self' ? there[partition] : owner).toBe(owner === 'self' ? first.url : other.url));
    here.forEach((owner, partition) => expect((owner === 'self') !== (there[partition] === 'self')).toBe(true));
    for (const [server, owners] of [
      [first, here],
      [other, there],
    ] as const) {
      const own = PARTITIONS.filter((partition) => owners[Number(partition)] === 'self');
      expect(Object.keys(valuesOf(await scrape(server), 'fabula_hot_bytes'))).toEqual(own);
    }
    // Projecting and auditing are shared out by themselves: each partition by one process, whichever writes it.
    for (const name of ['fabula_projector_next_offset', 'fabula_auditor_next_offset'])
      await eventually(async () => {
        const shares = [await scrape(), await scrape(other)].map((text) => Object.keys(valuesOf(text, name)));
        return shares.every(({ length }) => length === 2) && shares.flat().toSorted().join() === PARTITIONS.join() ? true : undefined;
      }, `${name} is told of once for each partition`);
  });

  test('an auditor that cannot go on is behind by what the log has more, and counts as stopped', async () => {
    const before = valuesOf(await scrape(), 'fabula_auditor_stopped');
    expect(Object.values(before)).toEqual([0, 0]);
    const [partition = '', otherOne = ''] = Object.keys(before);
    const begun = Date.now();
    // A record of a newer Fabula: nobody here may pass it.
    await appendRaw(database, Number(partition), '{"v":99}');
    await eventually(async () => {
      const now = await scrape();
      return valuesOf(now, 'fabula_auditor_stopped')[partition] === 1 &&
        valuesOf(now, 'fabula_auditor_lag_records')[partition] === 1 &&
        valuesOf(`${now}\n${await scrape(second)}`, 'fabula_projector_lag_records')[partition] === 1 &&
        (valuesOf(now, 'fabula_auditor_lag_seconds')[partition] ?? 0) > 0 &&
        (valuesOf(now, 'fabula_alarms_total')[''] ?? 0) > 0
        ? true
        : undefined;
    }, 'the partition is behind by one');
    expect(valuesOf(await scrape(), 'fabula_auditor_lag_records')).toEqual({ [partition]: 1, [otherOne]: 0 });
    const operator = new ApiClient(first.url, await first.token(['operator']));
    const seen = await eventually(async () => {
      const { body } = await operator.rest('GET', '/admin/operations');
      const one = (body as Operations).partitions?.[Number(partition)];
      return one?.projector?.lagRecords === 1 && one.auditor?.lagRecords === 1 ? (body as Operations) : undefined;
    }, 'the report has seen it, too');
    const { projector, auditor } = seen.partitions?.[Number(partition)] ?? {};
    const { body: projections } = await operator.rest('GET', '/admin/projections');
    const lags = [
      valuesOf(await scrape(), 'fabula_auditor_lag_seconds')[partition],
      projector?.lagSeconds,
      auditor?.lagSeconds,
      ((projections as { partitions: { lagMs: number }[] }).partitions[Number(partition)]?.lagMs ?? Number.NaN) / 1_000,
    ];
    // It waits since it came, not since the record before it, which is older than the second process.
    const most = (Date.now() - begun) / 1_000;
    expect(lags.map((lag) => typeof lag === 'number' && lag > 0 && lag <= most)).toEqual([true, true, true, true]);
    expect(seen.degraded).toContainEqual({
      who: `auditor p${partition}`,
      why: expect.stringContaining('stopped: ') as unknown,
      whatToDo: expect.any(String) as unknown,
      since: expect.stringMatching(/^20.*Z$/) as unknown,
    });
  });
});

async function appendRaw({ pool }: TestDatabase, partition: number, text: string): Promise<void> {
  const log = await openPostgresLog({ pool, partitions: PARTITIONS.length });
  try {
    await log.append(partition, [{ key: 'playthrough/newer', value: Buffer.from(text) }]);
  } finally {
    await log.close();
  }
}
