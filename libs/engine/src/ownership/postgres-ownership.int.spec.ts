import { systemClock, systemTimers, type Timers } from '#lib/platform';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import type { Ownership } from './ownership.js';
import { createPostgresOwnership, type PartitionWork } from './postgres-ownership.js';

const PARTITIONS = 5;

interface Member {
  readonly name: string;
  readonly ownership: Ownership;
  readonly held: Set<number>;
  readonly problems: string[];
  /** Resolves on the next change of `held`. */
  changed(): Promise<void>;
}

describe('partitions shared by processes on one database', () => {
  let database: TestDatabase;
  const members: Member[] = [];

  async function join(
    name: string,
    settings: { released?: () => Promise<void>; timers?: Timers; leaseMs?: number; observer?: boolean; work?: PartitionWork } = {},
  ): Promise<Member> {
    let wake = () => {};
    const held = new Set<number>();
    const problems: string[] = [];
    const ownership = createPostgresOwnership({
      connection: { connectionString: database.url },
      partitions: PARTITIONS,
      timers: settings.timers ?? systemTimers,
      ...(settings.leaseMs === undefined ? {} : { leaseMs: settings.leaseMs }),
      ...(settings.work === undefined ? {} : { work: settings.work }),
      ...(settings.observer === undefined ? {} : { observer: settings.observer }),
      intervalMs: 20,
      onProblem: (what) => problems.push(what),
    });
    const member: Member = { name, ownership, held, problems, changed: () => new Promise((resolve) => (wake = resolve)) };
    members.push(member);
    await ownership.start(`http://${name}`, {
      acquired(partition) {
        if (held.has(partition)) throw new Error(`${name} got ${partition} twice`);
        held.add(partition);
        wake();
      },
      async released(partition) {
        await settings.released?.();
        held.delete(partition);
        wake();
      },
    });
    return member;
  }

  /** Bounded, so that a broken rule fails the test instead of keeping jest for ever. */
  async function until(condition: () => boolean): Promise<void> {
    const deadline = systemClock.now() + 4_000;
    while (!condition()) {
      if (systemClock.now() > deadline) throw new Error(`never: ${condition.toString()}`);
      await new Promise<void>((resolve) => void systemTimers.after(5, resolve));
    }
  }

  /** Until one of the ownership sessions has sent another statement. */
  async function anotherStatement(): Promise<void> {
    const asked = () =>
      database.pool.query<{ at: string }>(
        `select max(query_start)::text as at from pg_stat_activity where application_name = 'fabula-ownership' and datname = current_database()`,
      );
    const before = (await asked()).rows[0]?.at;
    for (let look = 0; look < 2_000; look++) if ((await asked()).rows[0]?.at !== before) return;
    throw new Error('the ownership sessions have fallen silent');
  }

  const sessions = () =>
    database.pool.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = current_database() and application_name = 'fabula-ownership' order by backend_start`,
    );
  const all = Array.from({ length: PARTITIONS }, (_, partition) => partition);
  const whole = (...of: Member[]) =>
    of
      .flatMap((member) => [...member.held])
      .sort()
      .join() === all.join();

  beforeEach(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await Promise.all(members.splice(0).map((member) => member.ownership.stop()));
    await database.drop();
  });

  test('one alone has everything; a second gets its fair share, and each knows where the other is', async () => {
    const a = await join('a');
    expect([...a.held]).toEqual(all);
    const b = await join('b');
    await until(() => whole(a, b) && a.held.size <= 3 && b.held.size >= 2);
    for (const partition of all) {
      await until(() => a.ownership.ownerOf(partition) !== undefined && b.ownership.ownerOf(partition) !== undefined);
      expect(a.ownership.ownerOf(partition)).toBe(a.held.has(partition) ? 'self' : 'http://b');
      expect(b.ownership.ownerOf(partition)).toBe(b.held.has(partition) ? 'self' : 'http://a');
    }
  });

  test("an observer sees the owners, takes nothing and lowers nobody else's share", async () => {
    const a = await join('a');
    const watcher = await join('watcher', { observer: true });
    await until(() => all.every((partition) => watcher.ownership.ownerOf(partition) === 'http://a'));
    for (let count = 0; count < 6; count++) await anotherStatement();
    expect([...watcher.held]).toEqual([]);
    expect([...a.held]).toEqual(all);
  });

  test('each kind of work is shared among those that do it: one without projectors leaves none of them to nobody', async () => {
    const engines = [await join('a'), await join('engine-only')];
    const projector = await join('a', { work: 'projector' });
    const auditors = [await join('a', { work: 'auditor' }), await join('auditor-only', { work: 'auditor' })];
    await until(() => whole(...engines) && engines.every((member) => member.held.size <= 3));
    await until(() => whole(...auditors) && auditors.every((member) => member.held.size <= 3));
    for (let count = 0; count < 6; count++) await anotherStatement();
    expect([...projector.held]).toEqual(all);
    // Commands are sent to engines alone.
    expect(all.map((partition) => projector.ownership.ownerOf(partition))).toEqual(all.map(() => 'self'));
    const owners = await database.pool.query<{ address: string }>('select distinct address from fabula.partition_owners order by address');
    expect(owners.rows.map(({ address }) => address)).toEqual(['http://a', 'http://engine-only']);
  });

  test('nobody gets a partition before the one that gives it away has let go of it', async () => {
    let letGo = () => {};
    const slow = new Promise<void>((resolve) => (letGo = resolve));
    const a = await join('a', { released: () => slow });
    const b = await join('b');
    await until(() => all.some((partition) => a.ownership.ownerOf(partition) !== 'self'));
    const leaving = all.filter((partition) => a.ownership.ownerOf(partition) !== 'self');
    // Rounds go by: b asks for its share, and does not get it.
    for (let count = 0; count < 12; count++) await anotherStatement();
    expect(leaving.filter((partition) => b.held.has(partition))).toEqual([]);
    letGo();
    await until(() => leaving.every((partition) => b.ownership.ownerOf(partition) === 'self'));
  });

  test('when a session ends its partitions are released at once and taken over', async () => {
    const a = await join('a');
    const b = await join('b');
    await until(() => whole(a, b) && b.held.size === 2);
    const before = [...a.held];
    const change = a.changed();
    await database.pool.query('select pg_terminate_backend($1)', [(await sessions()).rows[0]?.pid]);
    await change;
    expect(a.held.size).toBeLessThan(before.length);
    // It comes back with a new session, and both share again with nothing left over.
    await until(() => whole(a, b) && a.held.size > 0 && a.held.size <= 3);
    expect(b.problems).toEqual([]);
  });

  test('a process that stops gives everything back, and the rest take it', async () => {
    const a = await join('a');
    const b = await join('b');
    await until(() => whole(a, b) && b.held.size === 2);
    await a.ownership.stop();
    expect([...a.held]).toEqual([]);
    await until(() => whole(b));
    expect(a.ownership.ownerOf(0)).not.toBe('self');
  });

  test('a process that falls silent while its connection stays open loses its partitions', async () => {
    const frozen = await join('frozen', { timers: { after: () => () => {} }, leaseMs: 250 });
    expect([...frozen.held]).toEqual(all);
    const b = await join('b');
    await until(() => whole(b));
    expect(all.map((partition) => b.ownership.ownerOf(partition))).toEqual(all.map(() => 'self'));
    // It hears of it as soon as it looks at its connection again.
    await until(() => frozen.held.size === 0);
  });

  test('with more processes than partitions, and with members coming and going, no partition stays without owner', async () => {
    const crowd = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => join(name)));
    await until(() => whole(...crowd) && crowd.every((member) => member.held.size <= 1));
    await Promise.all(crowd.slice(0, 5).map((member) => member.ownership.stop()));
    await until(() => whole(...crowd.slice(5)));
    await database.pool.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'fabula-ownership'
      and datname = current_database()`);
    await until(() => whole(...crowd.slice(5)) && crowd.slice(5).every((member) => member.held.size <= 3));
  });
});
