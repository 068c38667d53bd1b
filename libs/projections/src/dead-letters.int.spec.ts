import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { createMemoryLog, createPostgresReleases, type EventLog } from '#lib/log';
import { appendCheckpoint, appendPoison, MENDED } from './contract/poison.js';
import { projected, testTimers } from './contract/projection-contract.js';
import { writeRandomHistory } from './contract/random-history.js';
import type { DeadLetterKind, DeadLetterNotice } from './dead-letter.js';
import { DeadLetters, type DeadLetterView } from './dead-letters.js';
import { listGenerations } from './generations.js';
import { Projector } from './projector.js';
import { createReadSide, type ReadSide } from './read-side.js';
import { rebuild } from './rebuild.js';
import { TABLES } from './tables.js';

const clock = { now: () => Date.now() };
let database: TestDatabase;
let log: EventLog;
let side: ReadSide;
let letters: DeadLetters;

beforeAll(async () => {
  database = await createTestDatabase();
}, 60_000);
afterAll(() => database.drop());
beforeEach(async () => {
  for (const { n } of await listGenerations(database.pool)) await database.pool.query(`drop schema projection_${n} cascade`);
  await database.pool.query(
    'delete from fabula.projection_generations; delete from fabula.dead_letters; delete from fabula.releases; delete from fabula.audit_heads',
  );
  log = createMemoryLog({ partitions: 1, clock });
  const logId = await log.id();
  side = createReadSide({ pool: database.pool, logId, partitions: 1, clock, timers: testTimers });
  letters = new DeadLetters({ pool: database.pool, logId, live: side.live, projection: side.projection });
});

const history = (seed: number, records: number): Promise<unknown> =>
  writeRandomHistory(log, { seed, partitions: 1, playthroughs: 4, records, mischief: 0 });
const put = async (value: string | Buffer, key = 'x', headers?: Record<string, string>): Promise<number> =>
  log.append(0, [{ key, value: Buffer.from(value), ...(headers && { headers }) }]);
const all = async (): Promise<readonly DeadLetterView[]> => (await letters.list({}, { first: 100 })).rows;
const brief = async (): Promise<readonly [number, DeadLetterKind, string][]> =>
  (await all()).map(({ offset, kind, status }) => [offset, kind, status]);
const caughtUp = async (more: Partial<Parameters<typeof Projector.open>[0]> = {}): Promise<Projector> => {
  const releases = createPostgresReleases(database.pool, await log.id());
  const projector = await Projector.open({ log, store: side.projection, timers: testTimers, releases, maxRecords: 9, ...more });
  await projector.catchUp(0);
  return projector;
};

/** The same log as something that keeps no rules of ours would have filled it. */
function withOddities(log: EventLog, strange: number, huge: number): EventLog {
  const odd = Object.create(log) as EventLog;
  odd.read = async function* (partition, from, options) {
    for await (const batch of log.read(partition, from, options)) {
      const records = batch.records.map((record) => {
        if (record.offset === strange) return { ...record, key: 'a\u0000b\ud800', headers: { 'x-\ud800': '\u0000' } };
        return record.offset === huge ? { ...record, value: Buffer.alloc(700_000, 97) } : record;
      });
      yield { ...batch, records };
    }
  };
  return odd;
}

describe('Dead letters', () => {
  it('are kept once, with the batch that met them, whatever the record holds', async () => {
    await history(1, 20);
    // Nothing here fits a text column of Postgres: a key with U+0000, a lone surrogate in a header, a reason that quotes the garbage.
    const first = await put('{"\u0000": "\ufffd');
    const huge = await put('to grow');
    await history(2, 20);
    const told: DeadLetterNotice[] = [];
    await caughtUp({ log: withOddities(log, first, huge), onDeadLetters: (notices) => told.push(...notices) });
    expect(await brief()).toEqual([
      [first, 'invalid', 'open'],
      [huge, 'invalid', 'open'],
    ]);
    expect(told.map(({ offset }) => offset)).toEqual([first, huge]);
    expect(await letters.find(0, first)).toMatchObject({
      key: 'a\ufffdb\ufffd',
      stream: null,
      size: Buffer.byteLength('{"\u0000": "\ufffd'),
    });
    const kept = await letters.find(0, huge);
    expect([kept?.size, kept?.bytes.length, kept?.reason]).toEqual([700_000, 16 * 1024, '700000 bytes, more than 131072']);

    // Every generation meets them again.
    const report = await rebuild({ databaseUrl: database.url, log, clock, timers: testTimers });
    expect(report.parity.kind).toBe('equal');
    expect((await all()).length).toBe(2);
  });

  it('are listed in the order of the log, by page and by what they are, and counted', async () => {
    for (let n = 0; n < 7; n++) await put(`garbage ${n}`);
    await caughtUp();
    const seen: number[] = [];
    for (let after: string | undefined; ;) {
      const { rows, cursors, hasNextPage } = await letters.list({ kind: 'invalid', partition: 0 }, { first: 3, after });
      seen.push(...rows.map(({ offset }) => offset));
      if (!hasNextPage) break;
      after = cursors.at(-1);
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect((await letters.release(0, 3, 'op', 'a reason')).kind).toBe('released');
    expect((await letters.list({ status: 'released' }, { first: 9 })).rows.map(({ offset }) => offset)).toEqual([3]);
    expect((await letters.list({ status: 'open', partition: 1 }, { first: 9 })).rows).toEqual([]);
    expect((await letters.counts()).toSorted((a, b) => a.count - b.count)).toEqual([
      { kind: 'invalid', status: 'released', count: 1 },
      { kind: 'invalid', status: 'open', count: 6 },
    ]);
  });

  it('of a parked stream are closed when it is taken up again, and open when the live read models hold it back again', async () => {
    await history(21, 60);
    const { offset } = await appendPoison(log);
    await caughtUp();
    expect(await brief()).toEqual([[offset, 'unknown-event', 'open']]);
    expect(await letters.retry(0, offset)).toMatchObject({ kind: 'refused', reason: expect.stringContaining('still parked') as string });
    expect(await letters.find(0, offset)).toMatchObject({ attempts: 1, lastError: expect.stringContaining('PassageNarrated') as string });

    const mended = new DeadLetters({
      pool: database.pool,
      logId: await log.id(),
      live: side.live,
      projection: { retryParked: (stream) => side.projection.retryParked(stream, MENDED) },
    });
    expect(await mended.retry(0, offset)).toEqual({ kind: 'applied', records: 3 });
    expect(await brief()).toEqual([[offset, 'unknown-event', 'retried']]);
    expect((await mended.release(0, offset, 'op', 'too late')).kind).toBe('refused');
    expect((await mended.retry(0, offset)).kind).toBe('refused');

    // The older program rebuilds: it does not know the event.
    await rebuild({ databaseUrl: database.url, log, clock, timers: testTimers, parity: 'reported' });
    expect(await brief()).toEqual([[offset, 'unknown-event', 'open']]);
    // And the newer one rebuilds after it.
    await rebuild({ databaseUrl: database.url, log, clock, timers: testTimers, parity: 'reported', kinds: MENDED });
    expect(await brief()).toEqual([[offset, 'unknown-event', 'retried']]);
  });

  it('are in step with a stream that was taken up as such, and with what the live read models hold back', async () => {
    await history(21, 60);
    const { stream, offset } = await appendPoison(log);
    await caughtUp();
    // As a rebuild by a newer program in another process would leave it, were it given up.
    await database.pool.query(`update fabula.dead_letters set status = 'retried'`);
    await letters.settle();
    expect(await brief()).toEqual([[offset, 'unknown-event', 'open']]);
    await side.projection.retryParked(stream, MENDED);
    expect(await brief()).toEqual([[offset, 'unknown-event', 'retried']]);
  });

  it('of an unknown envelope are open again for an older program, and tell of the next fault of a newer one', async () => {
    const offset = await put('{"v":7}');
    await caughtUp();
    await database.pool.query(`update fabula.dead_letters set status = 'retried'`);
    const told: DeadLetterNotice[] = [];
    await caughtUp({ onDeadLetters: (notices) => told.push(...notices) });
    expect([await brief(), told.length]).toEqual([[[offset, 'unknown-envelope', 'open']], 1]);
    const { rows } = await database.pool.query<{ time: string; digest: string }>('select time, digest from fabula.dead_letters');
    const letter = {
      partition: 0,
      offset,
      stream: 'novel/x',
      key: 'x',
      bytes: Buffer.from('x'),
      size: 1,
      headers: null,
      reason: 'r',
    } as const;
    const found = { ...letter, kind: 'unknown-stream', time: Number(rows[0]?.time), digest: rows[0]?.digest ?? '' } as const;
    expect(await side.projection.keepDeadLetter(await log.id(), found)).toBe('new');
    expect(await side.projection.keepDeadLetter(await log.id(), found)).toBe('known');
    expect(await brief()).toEqual([[offset, 'unknown-stream', 'open']]);
  });

  it('of an unknown envelope are kept although their partition stands; released, they are folded over by it and by every rebuild', async () => {
    await history(3, 20);
    const offset = await put('{"v":7}');
    await history(4, 20);
    const told: DeadLetterNotice[] = [];
    const projector = await caughtUp({ onDeadLetters: (notices) => told.push(...notices) });
    await projector.catchUp(0);
    expect(projector.status()[0]).toMatchObject({ state: 'halted', nextOffset: offset });
    expect([await brief(), told.length]).toEqual([[[offset, 'unknown-envelope', 'open']], 1]);
    await expect(rebuild({ databaseUrl: database.url, log, clock, timers: testTimers })).rejects.toThrow(/cannot be rebuilt.*version 7/);

    expect((await letters.release(0, offset, 'op', 'nobody will read it')).kind).toBe('released');
    await projector.catchUp(0);
    expect(projector.status()[0]).toMatchObject({ state: 'idle', nextOffset: await log.end(0), verdicts: { invalid: 1 } });
    expect((await rebuild({ databaseUrl: database.url, log, clock, timers: testTimers })).parity.kind).toBe('equal');
    await letters.settle();
    expect(await brief()).toEqual([[offset, 'unknown-envelope', 'released']]);
    expect(await letters.retry(0, offset)).toMatchObject({ kind: 'refused', reason: expect.stringContaining('released') as string });
  });

  it('of an unknown envelope can no longer be released once an auditor that knows it has a leaf for it', async () => {
    await history(5, 5);
    const offset = await put('{"v":7}');
    await caughtUp();
    const head = async (to: number, logId: string): Promise<void> => {
      await database.pool.query('delete from fabula.audit_heads where log = 0');
      await database.pool.query('insert into fabula.audit_heads (log, log_id, next_offset) values (0, $1, $2)', [logId, to]);
    };
    await head(offset + 1, await log.id());
    expect(await letters.release(0, offset, 'op', 'too late for that')).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('an auditor') as string,
    });
    // The tree of another log says nothing about this record; nor does one that has yet to come to it.
    await head(offset + 1, 'another-log');
    expect((await letters.release(0, offset, 'op', 'nobody has it')).kind).toBe('released');
    await database.pool.query('delete from fabula.releases');
    await head(offset, await log.id());
    // Forgotten by a rebuild, but a signed note has the leaf.
    const note = async (size: number): Promise<void> => {
      const values = [await log.id(), size, Buffer.alloc(32), '', 0, 0, size];
      await database.pool.query('insert into fabula.audit_notes values (0, $1, $2, $3, $4, $5, $6, $7)', values);
    };
    await note(offset + 1);
    expect(await letters.release(0, offset, 'op', 'too late for that')).toMatchObject({ kind: 'refused' });
    await database.pool.query('delete from fabula.audit_notes');
    await note(offset);
    expect((await letters.release(0, offset, 'op', 'nobody has it')).kind).toBe('released');
    await database.pool.query('delete from fabula.audit_notes');
  });

  it('of an unknown envelope can no longer be released once a build that knows it has gone past', async () => {
    const offset = await put('{"v":7}');
    await history(5, 5);
    await caughtUp();
    await database.pool.query(`update projection_1.positions set next_offset = $1`, [offset + 1]);
    expect(await letters.release(0, offset, 'op', 'too late for that')).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('gone past') as string,
    });
    await letters.settle();
    expect(await brief()).toEqual([[offset, 'unknown-envelope', 'retried']]);
  });

  it('a halted loop goes on by itself after a release', async () => {
    const offset = await put('{"v":2}');
    await history(6, 10);
    const timers = { after: (_ms: number, callback: () => void) => testTimers.after(1, callback) };
    const releases = createPostgresReleases(database.pool, await log.id());
    const errors: unknown[] = [];
    const projector = await Projector.open({ log, store: side.projection, timers, releases, onError: (error) => errors.push(error) });
    const end = await log.end(0);
    const done = new Promise<void>((resolve) => projector.onCommit(({ to }) => to === end && resolve()));
    const kept = new Promise<void>((resolve) => {
      const look = async (): Promise<void> => ((await all()).length > 0 ? resolve() : void setImmediate(() => void look()));
      void look();
    });
    projector.start();
    await kept;
    await letters.release(0, offset, 'op', 'go on');
    await done;
    expect(projector.status()[0]).toMatchObject({ state: 'running', nextOffset: end });
    await projector.stop();
    // Said once, however often it looked.
    expect(errors).toHaveLength(1);
  });
});

describe('A stored state that cannot be read', () => {
  it('parks its own stream with its next record, while its partition goes on; mended, it is taken up again', async () => {
    await history(21, 60);
    await projected(log, side.projection, 1);
    const table = `projection_1.${TABLES.streams.sql}`;
    const { rows } = await database.pool.query<{ stream: string; state: string }>(
      `select stream, state from ${table} where stream like 'playthrough/%'`,
    );
    const [victim] = rows;
    await database.pool.query(`update ${table} set state = '{"not":"a state"}' where stream = $1`, [victim?.stream]);
    await appendCheckpoint(log, victim?.stream ?? '');
    const offset = (await log.end(0)) - 1;
    await history(22, 30);
    await caughtUp();
    expect((await side.projection.readPosition(0)).nextOffset).toBe(await log.end(0));
    expect(await all()).toEqual([
      expect.objectContaining({
        offset,
        kind: 'fold-failed',
        stream: victim?.stream,
        reason: expect.stringContaining('cannot be read') as string,
      }),
    ]);
    expect((await letters.retry(0, offset)).kind).toBe('refused');
    await database.pool.query(`update ${table} set state = $2 where stream = $1`, [victim?.stream, victim?.state]);
    expect(await letters.retry(0, offset)).toEqual({ kind: 'applied', records: 1 });
    expect(await brief()).toEqual([[offset, 'fold-failed', 'retried']]);
    const again = await rebuild({ databaseUrl: database.url, log, clock, timers: testTimers });
    expect(again.parity.kind).toBe('equal');
  });
});
