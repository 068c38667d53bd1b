import { mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { systemTimers } from '#lib/platform';
import { runMigrations } from '../../../migrations/index.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { describePseudonymTable } from './contract/pseudonym-table-contract.js';
import { describeSubjectKeyStore } from './contract/subject-key-store-contract.js';
import { FileKeyEncryption } from './file-key-encryption.js';
import { ForgottenFollower } from './forgotten-follower.js';
import { KekMissing, WrapBroken } from './key-encryption.js';
import { KekRotation, KekRotationRefused } from './kek-rotation.js';
import { Keyring } from './keyring.js';
import { CONVERSION_LOCK, LegacyKeys } from './legacy-keys.js';
import { MemoryKeyEncryption } from './memory-key-encryption.js';
import { PostgresPseudonyms } from './postgres-pseudonyms.js';
import { PostgresSubjectKeys } from './postgres-subject-keys.js';
import { newPseudonym } from './pseudonyms.js';
import { Sealer, type Sealed } from './sealer.js';

let database: TestDatabase;
let folder: string;
let keyring: Keyring;
const files = (): FileKeyEncryption => new FileKeyEncryption(path.join(folder, 'keks'));
const never = new AbortController().signal;
beforeAll(async () => {
  database = await createTestDatabase();
  folder = await mkdtemp(path.join(os.tmpdir(), 'fabula-privacy-'));
  // Four processes at once on a fresh database and one folder.
  const first = Array.from({ length: 4 }, () => new Keyring(database.pool, files()));
  const indexes = await Promise.all(first.map((one) => one.open()));
  keyring = first[0] as Keyring;
  expect(new Set(indexes.map((index) => index('i', 's').toString('hex'))).size).toBe(1);
}, 90_000);
afterAll(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});
const keys = (): PostgresSubjectKeys => new PostgresSubjectKeys(database.pool, keyring);
const pseudonyms = (): PostgresPseudonyms => new PostgresPseudonyms(database.pool, () => keyring.open());

describeSubjectKeyStore('Postgres', keys);
describePseudonymTable('Postgres', pseudonyms);

describe('what Postgres holds', () => {
  it('is neither a key nor a name, and of a destroyed key only that it was there', async () => {
    const made = await keys().keyOf('r-gone', { create: true });
    await pseudonyms().findOrAdd('https://issuer.example', 'ada@example.org', newPseudonym());
    const dump = async (): Promise<string> => {
      const tables = ['keks', 'index_key', 'subjects', 'subject_keys', 'forgotten'];
      const rows = await Promise.all(tables.map((table) => database.pool.query(`select t::text as row from fabula_keys.${table} t`)));
      return rows.flatMap((result) => result.rows.map(({ row }: { row: string }) => row)).join('\n');
    };
    expect(await dump()).not.toContain('ada@');
    expect(await dump()).not.toContain(made?.key.toString('hex'));
    await keys().destroy('r-gone');
    const { rows } = await database.pool.query(
      'select kid, wrapped_key, destroyed_at is not null as marked from fabula_keys.subject_keys where subject = $1',
      ['r-gone'],
    );
    expect(rows).toEqual([{ kid: made?.kid, wrapped_key: null, marked: true }]);
  });
});

describe('a keyring', () => {
  it('left one key in the folder, however many processes began at once', async () => {
    expect((await readdir(files().place)).length).toBe(1);
    expect(await files().ids()).toEqual([await keyring.currentId()]);
  });

  it('is refused where the key is missing, and where another lies under its name', async () => {
    await expect(new Keyring(database.pool, new MemoryKeyEncryption()).open()).rejects.toThrow(KekMissing);
    const wrong = new MemoryKeyEncryption();
    await wrong.create(await keyring.currentId());
    await expect(new Keyring(database.pool, wrong).open()).rejects.toThrow(WrapBroken);
  });
});

describe('a rotation of the key-encryption key', () => {
  it('wraps everything anew while others seal, unseal, are recognised and forgotten, and destroys the old key', async () => {
    const sealer = new Sealer(keys());
    const names = new Map<string, Sealed>();
    const seal = async (n: number): Promise<void> => void names.set(`r-${n}`, (await sealer.seal(`r-${n}`, `name ${n}`)).sealed);
    await Promise.all(Array.from({ length: 250 }, (_, n) => seal(n)));
    const person = await pseudonyms().findOrAdd('i', 'person', newPseudonym());
    const from = await keyring.currentId();
    const work = { over: false };
    const busy = async (): Promise<void> => {
      for (let n = 0; !work.over; n++) {
        const subject = `r-during-${n}`;
        names.set(subject, (await sealer.seal(subject, subject)).sealed);
        expect(await sealer.unseal(`r-${n % 200}`, names.get(`r-${n % 200}`) as Sealed)).toBe(`name ${n % 200}`);
        expect(await pseudonyms().findOrAdd('i', 'person', newPseudonym())).toBe(person);
      }
    };
    const other = busy();
    await keys().destroy('r-249');
    const rotation = new KekRotation(database.pool, keyring);
    const rotated = await rotation.rotate({ from, to: 'kek-two' }, never).finally(() => (work.over = true));
    await other;
    expect(rotated).toMatchObject({ from, to: 'kek-two', oldKeyDestroyed: true });
    expect(await files().ids()).toEqual(['kek-two']);
    const status = new Map((await rotation.status()).map((one) => [one.id, one]));
    expect(status.get(from)).toMatchObject({ state: 'destroyed', keys: 0, here: false });
    expect(status.get('kek-two')).toMatchObject({ state: 'current', here: true });
    for (const [subject, sealed] of names)
      expect(await sealer.unseal(subject, sealed)).toBe(subject === 'r-249' ? null : subject.replace(/^r-(\d)/, 'name $1'));
    // What a new process finds.
    const later = new Keyring(database.pool, files());
    expect(await new PostgresPseudonyms(database.pool, () => later.open()).find('i', 'person')).toBe(person);
  });

  it('goes on where it was broken off, and changes nothing when it is done again', async () => {
    const rotation = new KekRotation(database.pool, keyring);
    const order = { from: 'kek-two', to: 'kek-three' };
    const broken = new AbortController();
    const halfWay = rotation.rotate(order, broken.signal);
    broken.abort(new Error('the server stops'));
    await expect(halfWay).rejects.toThrow('the server stops');
    expect(await files().ids()).toEqual(['kek-three', 'kek-two']);
    await new Sealer(keys()).seal('r-between', 'sealed between');
    // Another one would leave keys under the first, which is nobody's `from` any more.
    await expect(rotation.rotate({ from: 'kek-three', to: 'kek-five' }, never)).rejects.toThrow('has not ended yet');
    const done = await rotation.rotate(order, never);
    expect(done).toMatchObject({ oldKeyDestroyed: true });
    expect(await rotation.rotate(order, never)).toEqual(done);
    await expect(rotation.rotate({ from: 'kek-two', to: 'kek-four' }, never)).rejects.toThrow(KekRotationRefused);
    await expect(rotation.rotate({ from: 'kek-three', to: 'kek-two' }, never)).rejects.toThrow(KekRotationRefused);
    expect(await files().ids()).toEqual(['kek-three']);
  });
});

describe('who was forgotten by another process', () => {
  it('is told to this one, by notification, and by looking where notifications do not come', async () => {
    for (const url of [database.url, 'postgres://nobody@127.0.0.1:1/none']) {
      const told: string[] = [];
      let heard: () => void = () => undefined;
      const told2 = new Promise<void>((resolve) => (heard = resolve));
      const listens = url === database.url;
      const follower = await ForgottenFollower.open({
        pool: database.pool,
        url,
        timers: systemTimers,
        onForgotten: (pseudonym) => {
          told.push(pseudonym);
          if (told.length === 2) heard();
        },
        onProblem: () => undefined,
        lookAgainMs: listens ? 60_000 : 20,
      });
      const [one, two] = [newPseudonym(), newPseudonym()];
      if (listens) await listening();
      await pseudonyms().cut(one);
      await pseudonyms().cut(two);
      await told2;
      expect(told).toEqual([one, two]);
      await follower.stop();
    }
  });

  async function listening(): Promise<void> {
    for (;;) {
      const { rowCount } = await database.pool.query(
        `select 1 from pg_stat_activity where application_name = 'fabula-forgotten' and query like 'listen%' and datname = current_database()`,
      );
      if (rowCount === 1) return;
    }
  }
});

describe('what earlier releases kept in clear', () => {
  /** A session ends a moment after its client. */
  async function gone({ pool }: TestDatabase): Promise<void> {
    const look = `select 1 from pg_stat_activity where application_name = 'fabula' and datname = current_database()`;
    while ((await pool.query(look)).rowCount !== 0);
  }

  it.each([
    ['in the same database', false],
    ['in a database of their own', true],
  ])(
    'is brought over, once, to keys %s: every name readable, every reader recognised, nothing in clear left or added',
    async (_where, apart) => {
      const old = await createTestDatabase();
      const own = apart ? await createTestDatabase({ empty: true }) : undefined;
      const kept = own ?? old;
      try {
        // The main database's own schema of keys stays unused.
        if (own !== undefined) expect(await runMigrations(old.url, own.url)).toEqual(['Keys1795000001200']);
        const encryption = new MemoryKeyEncryption();
        const ring = new Keyring(kept.pool, encryption);
        // As a database of those releases is: open.
        await old.pool.query('alter table fabula.subjects drop constraint subjects_closed');
        await old.pool.query(
          `insert into fabula.subjects (issuer, sub, pseudonym) values ('i', 'ada@example.org', 'r-ada'), ('i', 'bob', 'r-bob')`,
        );
        await old.pool.query(
          `insert into fabula.subject_keys (subject, kid, key, destroyed_at) values
           ('r-ada', 'kid-ada', decode(repeat('01', 32), 'hex'), null), ('r-gone', 'kid-gone', null, now())`,
        );
        const legacy = new LegacyKeys(old.url, old.pool, kept.pool, ring);
        const table = new PostgresPseudonyms(kept.pool, () => ring.open(), legacy);
        const store = new PostgresSubjectKeys(kept.pool, ring, legacy);
        await ring.open();

        // A server of that release still runs: who is who is its word, so that a reader has one pseudonym at both, and nothing is taken away.
        const oldServer = new Client({ connectionString: old.url, application_name: 'fabula' });
        await oldServer.connect();
        expect(await legacy.settle()).toEqual({ subjects: 0, keys: 0 });
        expect(legacy.open).toBe(true);
        expect(await table.find('i', 'bob')).toBe('r-bob');
        expect(await table.findOrAdd('i', 'bob', newPseudonym())).toBe('r-bob');
        const [met, again] = await Promise.all([1, 2].map(() => table.findOrAdd('i', 'cyd', newPseudonym())));
        expect(again).toBe(met);
        const { rows: cyd } = await oldServer.query(`select pseudonym from fabula.subjects where sub = 'cyd'`);
        expect(cyd).toEqual([{ pseudonym: met }]);
        expect((await store.keyOf('r-ada', { create: true }))?.kid).toBe('kid-ada');
        expect((await oldServer.query('select 1 from fabula.subject_keys')).rowCount).toBe(2);
        // A command that is tried at both must not look like two: whoever seals first makes the key where the other looks for it.
        const keys = await Promise.all([1, 2].map(() => store.keyOf('r-cyd', { create: true })));
        const { rows: made } = await oldServer.query<{ kid: string; key: Buffer }>(
          `select kid, key from fabula.subject_keys where subject = 'r-cyd'`,
        );
        expect(made).toHaveLength(1);
        expect(keys.map((key) => ({ kid: key?.kid, key: key?.key }))).toEqual([made[0], made[0]]);
        expect(await store.keyOf('r-dan', { create: false })).toBeNull();
        await oldServer.end();
        await gone(old);

        // Met while the conversion is under way, a reader is who it was, with the key it had.
        await old.pool.query(`insert into fabula.subjects (issuer, sub, pseudonym) values ('i', 'eli', 'r-eli')`);
        await old.pool.query(
          `insert into fabula.subject_keys (subject, kid, key) values ('r-eli', 'kid-eli', decode(repeat('03', 32), 'hex'))`,
        );
        const another = new Client({ connectionString: old.url });
        await another.connect();
        await another.query('select pg_advisory_lock($1)', [CONVERSION_LOCK]);
        const converting = Promise.all([legacy.settle(), legacy.settle()]);
        const waits = `select 1 from pg_stat_activity where application_name = 'fabula-key-conversion' and wait_event = 'advisory'`;
        while ((await old.pool.query(waits)).rowCount !== 2);
        expect(await table.findOrAdd('i', 'eli', newPseudonym())).toBe('r-eli');
        expect((await store.keyOf('r-eli', { create: true }))?.kid).toBe('kid-eli');
        await another.end();
        const results = await converting;
        expect(results).toContainEqual({ subjects: 4, keys: 1 });
        expect(legacy.open).toBe(false);
        expect(await legacy.settle()).toEqual({ subjects: 0, keys: 0 });
        expect(await table.find('i', 'ada@example.org')).toBe('r-ada');
        expect(await table.find('i', 'cyd')).toBe(met);
        expect((await store.keyOf('r-ada', { create: true }))?.key.toString('hex')).toBe('01'.repeat(32));
        expect(await store.keyOf('r-gone', { create: true })).toBeNull();
        const left = await old.pool.query(
          'select (select count(*) from fabula.subjects) + (select count(*) from fabula.subject_keys) as rows',
        );
        expect(left.rows).toEqual([{ rows: '0' }]);
        // An old server that comes back can write no name any more; a key that it makes is taken over when it is met.
        await expect(old.pool.query(`insert into fabula.subjects (issuer, sub, pseudonym) values ('i', 'eve', 'r-eve')`)).rejects.toThrow(
          'subjects_closed',
        );
        await old.pool.query(
          `insert into fabula.subject_keys (subject, kid, key) values ('r-ada', 'kid-late', decode(repeat('02', 32), 'hex'))`,
        );
        expect((await store.byKid('kid-late'))?.key.toString('hex')).toBe('02'.repeat(32));
        expect((await store.keyOf('r-ada', { create: true }))?.kid).toBe('kid-ada');
        expect([...(await store.destroy('r-ada'))].sort()).toEqual(['kid-ada', 'kid-late']);
      } finally {
        await old.drop();
        await own?.drop();
      }
    },
  );
});
