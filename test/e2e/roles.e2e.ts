import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { eventually } from './expectations.js';
import { publishStory } from './publish-story.js';
import { complaintsOf } from './server-log.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(90_000);

const STORY = 'three-doors';

describe('processes with different roles on one database', () => {
  let database: TestDatabase;
  let first: ServerProcess;
  const dirs: string[] = [];
  const newDir = async (): Promise<string> => {
    const dir = await temporaryDataDir();
    dirs.push(dir);
    return dir;
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    first = await ServerProcess.start({ databaseUrl: database.url });
    await publishStory(new ApiClient(first.url, await first.token(['author'])), threeDoors(STORY));
  });
  afterAll(async () => {
    const complaints = complaintsOf(first);
    await first.stop();
    await database.drop();
    await Promise.all(dirs.map((dir) => rm(dir, { recursive: true, force: true })));
    expect(complaints).toEqual([]);
  });

  test('what a process with the role engine alone decides is projected and audited by another', async () => {
    const engine = await ServerProcess.start({ databaseUrl: database.url, dataDir: await newDir(), env: { FABULA_ROLES: 'engine' } });
    try {
      await eventually(async () => {
        const { rows } = await database.pool.query('select 1 from fabula.partition_owners where address = $1', [engine.url]);
        return rows.length >= 2 ? true : undefined;
      }, 'the second process owns half of the partitions');
      const reader = new ApiClient(first.url, await first.token(['reader']));
      const partitions = new Set<unknown>();
      for (let n = 0; n < 24; n++) {
        const { playthrough, position } = await reader.start(STORY, randomUUID());
        partitions.add((JSON.parse(Buffer.from(position, 'base64url').toString()) as { p: unknown }).p);
        const seen = await eventually(async () => {
          const { data } = await reader.graphql<{ playthrough: { turn: number } | null }>(
            'query ($id: ID!, $after: [Position!]) { playthrough(id: $id, minPosition: $after) { turn } }',
            { id: playthrough.id, after: [position] },
          );
          return data?.playthrough ?? undefined;
        }, `the playthrough at ${position} is projected`);
        expect(seen).toEqual({ turn: 0 });
      }
      expect(partitions.size).toBe(4);
      const written = await database.pool.query<{ count: string }>('select count(*) from fabula.log_records');
      await eventually(async () => {
        const { rows } = await database.pool.query<{ sum: string }>('select sum(next_offset) from fabula.audit_heads where log >= 0');
        return rows[0]?.sum === written.rows[0]?.count ? true : undefined;
      }, 'all is audited');
    } finally {
      await engine.stop();
    }
  });

  test('a second auditor that has a key of its own does not start, and is told which to copy', async () => {
    const { code, output } = await ServerProcess.runToEnd({ databaseUrl: database.url, dataDir: await newDir() });
    expect(output).toContain("copy `audit-signing.key` from the first node's data directory");
    expect(code).toBe(2);
  });

  test('two processes do not share a data directory, also beside a Postgres of your own', async () => {
    const { code, output } = await ServerProcess.runToEnd({ databaseUrl: database.url, dataDir: first.dataDir });
    expect(output).toMatch(/data directory .* is in use by process \d+/i);
    expect(code).toBe(2);
  });
});
