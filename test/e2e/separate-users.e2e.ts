import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { Client } from 'pg';
import { runMigrations } from '../../migrations/index.js';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { kekDirOf, ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { walk } from './auto-player.js';
import { eventually } from './expectations.js';
import { publishStory } from './publish-story.js';
import { PARTITIONS, rawPostgres } from './raw-log.js';
import { complaintsOf } from './server-log.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(120_000);

const PROCESSES = [
  // The first one makes the read models.
  { roles: 'projector,publisher', groups: 'fabula_projector, fabula_publisher' },
  { roles: 'api,engine', groups: 'fabula_api, fabula_engine' },
  { roles: 'auditor', groups: 'fabula_auditor, fabula_compliance' },
  { roles: 'signer', groups: 'fabula_signer' },
] as const;

describe('a server whose processes have database users of their own', () => {
  const password = randomBytes(8).toString('hex');
  const mark = randomBytes(4).toString('hex');
  const nameOf = (roles: string): string => `spec_${mark}_${roles.replace(',', '_')}`;
  let database: TestDatabase;
  const servers: ServerProcess[] = [];
  const dirs: string[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.pool.query('comment on schema fabula is null');
    await runMigrations(database.url);
    for (const { roles, groups } of PROCESSES) {
      await database.pool.query(`create role ${nameOf(roles)} login password '${password}' in role ${groups}`);
      const url = new URL(database.url);
      url.username = nameOf(roles);
      url.password = password;
      const dataDir = await temporaryDataDir();
      dirs.push(dataDir);
      servers.push(
        await ServerProcess.start({
          databaseUrl: url.href,
          dataDir,
          env: { FABULA_ROLES: roles, FABULA_SAMPLE_STORIES: 'off', FABULA_KEK_DIR: kekDirOf(database.url) },
        }),
      );
    }
  });
  afterAll(async () => {
    const complaints = servers.flatMap((server) => complaintsOf(server));
    for (const server of servers) await server.stop();
    for (const { roles } of PROCESSES) await database.pool.query(`drop owned by ${nameOf(roles)} cascade`).catch(() => undefined);
    await database.drop();
    const administrator = new Client({ connectionString: database.url.replace(/\/[^/]*$/, '/postgres') });
    await administrator.connect();
    for (const { roles } of PROCESSES) await administrator.query(`drop role if exists ${nameOf(roles)}`);
    await administrator.end();
    await Promise.all(dirs.map((dir) => rm(dir, { recursive: true, force: true })));
    expect(complaints).toEqual([]);
  });

  test('plays, projects, audits, signs and tells of accesses', async () => {
    const [, playing] = servers as [ServerProcess, ServerProcess];
    await publishStory(new ApiClient(playing.url, await playing.token(['author'])), threeDoors('three-doors'));
    const reader = new ApiClient(playing.url, await playing.token(['reader']));
    const { last } = await walk(reader, 'three-doors', 7, 12);
    expect(last.turn).toBeGreaterThan(0);
    const counted = async (query: string): Promise<number> => Number((await database.pool.query<{ n: string }>(query)).rows[0]?.n);
    const records = await counted('select count(*) as n from fabula.log_records');
    await eventually(
      async () => ((await counted('select sum(next_offset) as n from fabula.audit_heads where log >= 0')) === records ? true : undefined),
      'all is audited',
    );
    const compliance = new ApiClient(playing.url, await playing.token(['compliance']));
    const { logs } = await eventually(async () => {
      const answer = (await compliance.rest('GET', '/audit/logs')).body as {
        readonly logs: readonly { readonly log: string; readonly size: string; readonly signedSize: string }[];
      };
      const signed = answer.logs.every(({ log, size, signedSize }) => log === 'access' || size === signedSize);
      return signed && answer.logs.some(({ log }) => log === 'access') ? answer : undefined;
    }, 'all is signed');
    expect(logs.map(({ log }) => log).toSorted()).toEqual(['access', 'p0', 'p1', 'p2', 'p3', 'root']);
    const projected = await eventually(async () => {
      const { data } = await reader.graphql<{ playthrough: { turn: number } | null }>(
        'query ($id: ID!) { playthrough(id: $id) { turn } }',
        {
          id: last.id,
        },
      );
      return data?.playthrough?.turn === last.turn ? data : undefined;
    }, 'it is projected');
    expect(projected.playthrough?.turn).toBe(last.turn);
  });

  test('lets an operator release a record of an unknown envelope', async () => {
    const [, playing] = servers as [ServerProcess, ServerProcess];
    const operator = new ApiClient(playing.url, await playing.token(['operator']));
    const raw = await (await rawPostgres()).open(database);
    const partition = PARTITIONS - 1;
    const offset = await raw.append(partition, { key: 'x', value: Buffer.from('{"v":2}') });
    await raw.close();
    const path = `/admin/dead-letters/${partition}/${offset}`;
    await eventually(async () => ((await operator.rest('GET', path)).status === 200 ? true : undefined), 'it is kept as a dead letter');
    const released = await operator.rest('POST', `${path}/release`, { reason: 'a trial of version 2' });
    expect([released.status, released.body]).toMatchObject([200, { status: 'released', kind: 'unknown-envelope' }]);
  });
});
