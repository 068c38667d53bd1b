import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { DataDirectoryLocked } from './data-directory-lock.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';

async function ask(url: string, statement: string): Promise<unknown> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<{ answer: unknown }>(statement)).rows[0]?.answer;
  } finally {
    await client.end();
  }
}

describe('embedded Postgres', () => {
  let dir: string;
  let server: EmbeddedPostgres | undefined;
  const log: string[] = [];
  const start = async () => (server = await startEmbeddedPostgres({ dir, log: (line) => log.push(line) }));

  beforeAll(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'fabula-embedded-'));
  });
  afterAll(async () => {
    await server?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  test('keeps its data over a stop and a start, is durable, and asks strangers for a password', async () => {
    const first = await start();
    expect(first.fresh).toBe(true);
    expect(first.port).toBeLessThan(32_768);
    expect(await ask(first.url(), `select current_setting('server_version_num')::int / 10000 as answer`)).toBe(18);
    expect(await ask(first.url(), `select current_setting('fsync') as answer`)).toBe('on');
    await ask(first.url(), 'create table kept as select 42 as answer');
    await expect(ask(`postgres://fabula@127.0.0.1:${first.port}/postgres`, 'select 1 as answer')).rejects.toThrow(/password/);
    await expect(ask(`postgres://fabula:guess@127.0.0.1:${first.port}/postgres`, 'select 1 as answer')).rejects.toThrow(/password/);
    expect((await stat(path.join(dir, 'postgres.password'))).mode & 0o777).toBe(0o600);
    await first.stop();

    const second = await start();
    expect(second.fresh).toBe(false);
    expect(await ask(second.url(), 'select answer from kept')).toBe(42);
  });

  test('refuses a second start on the same directory and names the process that holds it', async () => {
    await expect(startEmbeddedPostgres({ dir })).rejects.toThrow(DataDirectoryLocked);
    await expect(startEmbeddedPostgres({ dir })).rejects.toMatchObject({ pid: process.pid, directory: dir });
  });

  test('starts again on the same port when it is killed', async () => {
    const running = server!;
    const killed = running.pid()!;
    process.kill(killed, 'SIGKILL');
    let pid: number | undefined = killed;
    while (pid === killed || pid === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      pid = running.pid();
    }
    expect(await ask(running.url(), 'select answer from kept')).toBe(42);
    expect(log.some((line) => line.includes('starting it again'))).toBe(true);
  });

  test('says what Postgres says when it cannot start', async () => {
    await server!.stop();
    const port = startEmbeddedPostgres({ dir, settings: { shared_buffers: 'plenty' } });
    await expect(port).rejects.toThrow(/invalid value for parameter "shared_buffers": "plenty"/);
  });

  test('stops a Postgres that an earlier, killed Fabula left behind', async () => {
    const orphan = await start();
    orphan.detach();
    const left = orphan.pid()!;
    // What a kill -9 of that Fabula leaves: the server runs, the lock names a process that is gone.
    await rm(path.join(dir, 'lock'));
    const next = await start();
    expect(next.pid()).not.toBe(left);
    expect(() => process.kill(left, 0)).toThrow();
    expect(await ask(next.url(), 'select answer from kept')).toBe(42);
    expect(await readFile(path.join(dir, 'lock'), 'utf8')).toContain(`"pid":${process.pid}`);
  });

  // Postgres refuses to run as root; as another user it could not walk down to such a place.
  const asRoot = process.getuid?.() === 0 ? test : test.skip;
  asRoot('finds a place for the cluster when the data directory is closed to other users (root only)', async () => {
    const closed = await mkdtemp(path.join(os.tmpdir(), 'fabula-closed-'));
    const inside = path.join(closed, 'data');
    const first = await startEmbeddedPostgres({ dir: inside });
    const place = (await readFile(path.join(inside, 'postgres.location'), 'utf8')).trim();
    try {
      await ask(first.url(), 'create table kept as select 42 as answer');
      await first.stop();
      const again = await startEmbeddedPostgres({ dir: inside });
      expect([again.fresh, await ask(again.url(), 'select answer from kept')]).toEqual([false, 42]);
      await again.stop();
      await rm(path.join(inside, 'postgres.password'));
      await expect(startEmbeddedPostgres({ dir: inside })).rejects.toThrow(/password of the cluster .* is gone/);
    } finally {
      await rm(closed, { recursive: true, force: true });
      await rm(path.dirname(place), { recursive: true, force: true });
    }
  });
});
