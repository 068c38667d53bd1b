import * as fc from 'fast-check';
import { createMemoryLog, type EventLog } from '#lib/log';
import { randomFrom, writeRandomHistory } from '../../projections/src/contract/random-history.js';
import { Publisher, readerMarks, type FeedPositions, type PublisherOptions } from './index.js';
import { acceptedIn, deduplicated, FoldedVerdicts, MemoryPositions, RecordingSink } from './testing/feed-fixture.js';

const mark = readerMarks(Buffer.alloc(32, 7));
const PARTITIONS = 3;
const clock = { now: () => 1_800_000_000_000 };

/** Timers by hand: `fire` runs what is due soonest. */
class HandTimers {
  private readonly due: { readonly ms: number; readonly callback: () => void }[] = [];
  readonly waits: number[] = [];
  after(ms: number, callback: () => void): () => void {
    const one = { ms, callback };
    this.due.push(one);
    this.waits.push(ms);
    return () => void (this.due.includes(one) && this.due.splice(this.due.indexOf(one), 1));
  }
  fire(): void {
    const soonest = this.due.reduce<(typeof this.due)[number] | undefined>(
      (best, one) => (best === undefined || one.ms < best.ms ? one : best),
      undefined,
    );
    if (soonest === undefined) return;
    this.due.splice(this.due.indexOf(soonest), 1);
    soonest.callback();
  }
}

const newLog = (): EventLog => createMemoryLog({ partitions: PARTITIONS, clock: { now: () => 1_750_000_000_000 } });
const history = (log: EventLog, seed: number, records = 120): Promise<unknown> =>
  writeRandomHistory(log, { seed, partitions: PARTITIONS, playthroughs: 6, records });

interface Setup extends Partial<PublisherOptions> {
  readonly log: EventLog;
  readonly sink: RecordingSink;
}
const open = async ({ log, ...more }: Setup): Promise<Publisher> =>
  new Publisher({
    log,
    logId: await log.id(),
    verdicts: new FoldedVerdicts(log),
    positions: new MemoryPositions(),
    mark,
    clock,
    timers: new HandTimers(),
    random: () => 0,
    ...more,
  });

/** `stream sequence type` of every event that counts, by stream, in order. */
async function expected(log: EventLog): Promise<Record<string, string[]>> {
  const streams: Record<string, string[]> = {};
  for (const { record, partition, offset } of await acceptedIn(log))
    record.events.forEach((_event, i) =>
      (streams[record.stream] ??= []).push(`${partition}/${offset}/${i} ${record.expectedVersion + i + 1}`),
    );
  return streams;
}
async function found(log: EventLog, sink: RecordingSink): Promise<Record<string, string[]>> {
  const logId = await log.id();
  const streams: Record<string, string[]> = {};
  for (const { key, headers, partition } of deduplicated(sink.sent)) {
    const id = (headers['ce_id'] as string).replace(`${logId}/`, '');
    expect(id.startsWith(`${partition}/`)).toBe(true);
    (streams[key as string] ??= []).push(`${id} ${Number(headers['ce_sequence'])}`);
  }
  return streams;
}
const settled = async (condition: () => boolean, timers?: HandTimers): Promise<void> => {
  for (let n = 0; !condition(); n++) {
    if (n > 10_000) throw new Error('it did not come about');
    await new Promise((resolve) => setImmediate(resolve));
    timers?.fire();
  }
};

describe('the publisher', () => {
  it('feeds exactly what counts, in order per stream, whatever else is in the log and wherever it crashes', async () => {
    let repeated = 0;
    let crashes = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 1_000_000 }), async (seed) => {
        const log = newLog();
        await history(log, seed);
        const random = randomFrom(seed);
        const sink = new RecordingSink();
        const positions = new MemoryPositions();
        // A crash is a publisher that is never heard of again: before the topic, after it, or before the position moved.
        sink.fault = () => (['none', 'none', 'refuse', 'lose-answer'] as const)[random(4)] as 'none';
        const crashing: FeedPositions = {
          read: (partition) => positions.read(partition),
          readAll: () => positions.readAll(),
          open: (partition, logId) => positions.open(partition, logId),
          set: (partition, logId, to) => positions.set(partition, logId, to),
          move: (partition, logId, from, to) =>
            random(4) === 0
              ? Promise.reject(new Error('killed'))
              : positions.move(partition, logId, from, Math.min(to, from + 1 + random(60))),
        };
        for (let partition = 0; partition < PARTITIONS; partition++) {
          for (let done = false, attempts = 0; !done; attempts++) {
            if (attempts > 200) throw new Error('it does not get on');
            const verdicts = new FoldedVerdicts(log);
            // The auditor may be anywhere: batches end where it stands.
            const end = await log.end(partition);
            verdicts.read = async (_id, of, from, to) =>
              FoldedVerdicts.prototype.read.call(verdicts, _id, of, from, Math.min(to, from + 1 + random(40)));
            const publisher = await open({ log, sink, verdicts, positions: crashing, maxContexts: random(2) === 0 ? 1 : 100 });
            await publisher.catchUp(partition).catch(() => crashes++);
            done = (await positions.open(partition, await log.id())).offset === end;
          }
        }
        expect(await found(log, sink)).toEqual(await expected(log));
        repeated += sink.sent.length - deduplicated(sink.sent).length;
      }),
      { numRuns: process.env['FABULA_TEST_LONG'] === undefined ? 15 : 300, endOnFailure: true },
    );
    expect(repeated).toBeGreaterThan(50);
    expect(crashes).toBeGreaterThan(50);
  });

  it('repeats the very same bytes', async () => {
    const log = newLog();
    await history(log, 3);
    const [first, second] = [new RecordingSink(), new RecordingSink()];
    for (const sink of [first, second]) {
      const publisher = await open({ log, sink, maxContexts: sink === first ? 1_000 : 1 });
      for (let partition = 0; partition < PARTITIONS; partition++) await publisher.catchUp(partition);
    }
    expect(first.sent.length).toBeGreaterThan(50);
    expect(second.sent).toEqual(first.sent);
  });

  it('goes no further than the auditor, and on as soon as that does', async () => {
    const log = newLog();
    await history(log, 5);
    const verdicts = new FoldedVerdicts(log);
    verdicts.reached.set(0, 10);
    const sink = new RecordingSink();
    const timers = new HandTimers();
    const publisher = await open({ log, sink, verdicts, timers, heartbeatMs: 1e9 });
    publisher.follow(0);
    await settled(() => publisher.status()[0]?.state === 'waiting');
    expect(publisher.status()[0]).toMatchObject({ nextOffset: 10, problem: expect.stringContaining('the auditor has not reached it') });
    const before = sink.sent.length;
    expect(sink.sent.every(({ headers }) => Number(headers['ce_id']?.split('/')[2]) < 10)).toBe(true);
    verdicts.reached.clear();
    await settled(() => publisher.status()[0]?.state === 'following', timers);
    expect(sink.sent.length).toBeGreaterThan(before);
    await publisher.stop();
  });

  it('fails loudly, and skips nothing, where a verdict is missing between others', async () => {
    const log = newLog();
    await history(log, 5);
    const verdicts = new FoldedVerdicts(log);
    const whole = verdicts.read.bind(verdicts);
    verdicts.read = async (...args) => {
      const { upTo, accepted } = await whole(...args);
      return { upTo, accepted: new Map([...accepted].filter(([offset]) => offset !== 4)) };
    };
    const sink = new RecordingSink();
    const publisher = await open({ log, sink, verdicts });
    await expect(publisher.catchUp(0)).rejects.toThrow('the record at offset 4 has no verdict');
    expect(sink.sent).toEqual([]);
  });

  it('tries again with growing pauses after failures, and loses nothing', async () => {
    const log = newLog();
    await history(log, 6);
    const sink = new RecordingSink();
    const timers = new HandTimers();
    const errors: unknown[] = [];
    sink.fault = () => (errors.length < 6 ? 'refuse' : 'none');
    const publisher = await open({ log, sink, timers, heartbeatMs: 1e9, retryMs: [100, 1_000], onError: (error) => errors.push(error) });
    publisher.follow(0);
    const end = await log.end(0);
    await settled(() => publisher.status()[0]?.nextOffset === end, timers);
    expect(errors).toHaveLength(6);
    expect(timers.waits.filter((ms) => ms < 1e9).slice(0, 6)).toEqual([100, 200, 400, 800, 1_000, 1_000]);
    expect(publisher.status()[0]).toMatchObject({ state: 'following', problem: null });
    await publisher.stop();
    const mine = Object.entries(await expected(log)).filter(([, [first]]) => first?.startsWith('0/'));
    expect(Object.entries(await found(log, sink))).toEqual(mine);
  });

  it('gives way when somebody else has moved the position, and goes on from there', async () => {
    const log = newLog();
    await history(log, 7);
    const positions = new MemoryPositions();
    const sink = new RecordingSink();
    const [zombie, owner] = [await open({ log, sink, positions }), await open({ log, sink, positions })];
    const logId = await log.id();
    const move = positions.move.bind(positions);
    let overtaken = false;
    positions.move = async (...args) => {
      if (!overtaken) {
        overtaken = true;
        await owner.catchUp(0);
      }
      return move(...args);
    };
    await expect(zombie.catchUp(0)).rejects.toThrow('partition 0 is no longer at 0');
    expect((await positions.open(0, logId)).offset).toBe(await log.end(0));
    await zombie.catchUp(0);
    const mine = Object.entries(await expected(log)).filter(([, [first]]) => first?.startsWith('0/'));
    expect(Object.entries(await found(log, sink))).toEqual(mine);
    expect(sink.sent.length).toBe(2 * deduplicated(sink.sent).length);
  });

  it('stops at a position of another log or beyond the end, says what mends it, and goes on when that was done', async () => {
    const log = newLog();
    await history(log, 8);
    const positions = new MemoryPositions();
    await positions.set(0, 'another-log', 3);
    await positions.set(1, await log.id(), 1_000_000);
    const sink = new RecordingSink();
    const timers = new HandTimers();
    const stopped: string[] = [];
    const publisher = await open({ log, sink, positions, timers, heartbeatMs: 1e9, onStopped: (message) => stopped.push(message) });
    publisher.follow(0);
    publisher.follow(1);
    await settled(() => stopped.length === 2);
    expect(stopped.join()).toMatch(/another-log.*fabula feed reset.*beyond the log's end.*fabula feed reset/s);
    expect(publisher.status().map(({ state }) => state)).toEqual(['stopped', 'stopped']);
    expect(sink.sent).toEqual([]);
    await positions.set(0, await log.id(), 0);
    await settled(() => publisher.status()[0]?.state === 'following', timers);
    expect(stopped).toHaveLength(2);
    expect(sink.sent.length).toBeGreaterThan(0);
    await publisher.stop();
  });

  it('notices in an idle partition that the position was set, and publishes again from there', async () => {
    const log = newLog();
    await history(log, 5);
    const positions = new MemoryPositions();
    const sink = new RecordingSink();
    const timers = new HandTimers();
    const publisher = await open({ log, sink, positions, timers, heartbeatMs: 500 });
    publisher.follow(0);
    const end = await log.end(0);
    await settled(() => publisher.status()[0]?.nextOffset === end);
    const events = (): number => sink.sent.filter(({ key }) => key !== null).length;
    const once = events();
    await positions.set(0, await log.id(), 0);
    await settled(() => events() === 2 * once, timers);
    expect(once).toBeGreaterThan(10);
    await settled(() => publisher.status()[0]?.state === 'following' && publisher.status()[0]?.nextOffset === end, timers);
    await publisher.stop();
  });

  it('beats in idle partitions only, some seconds behind the clock, and says how far everything is out', async () => {
    const log = newLog();
    const sink = new RecordingSink();
    const timers = new HandTimers();
    const verdicts = new FoldedVerdicts(log);
    const publisher = await open({ log, sink, timers, verdicts, heartbeatMs: 500 });
    publisher.follow(2);
    await settled(() => sink.sent.length === 2, timers);
    expect(sink.sent[0]).toMatchObject({
      key: null,
      partition: 2,
      headers: { ce_type: 'fabula.feed.heartbeat.v1', ce_time: new Date(clock.now() - 10_000).toISOString() },
      value: '{"partition":2,"nextOffset":0}',
    });
    // Something waits to be published: event time must not run ahead of it.
    verdicts.reached.set(2, 0);
    await history(log, 5);
    expect(await log.end(2)).toBeGreaterThan(0);
    await settled(() => publisher.status()[0]?.state === 'waiting', timers);
    const before = sink.sent.length;
    for (let n = 0; n < 50; n++) {
      timers.fire();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sink.sent.length).toBe(before);
    await publisher.stop();
  });

  it('asks and beats once for all idle partitions, whichever of them the log tells nothing of, and no longer where it left', async () => {
    const log = newLog();
    const sink = new RecordingSink();
    const timers = new HandTimers();
    const positions = new MemoryPositions();
    let asked = 0;
    const readAll = positions.readAll.bind(positions);
    positions.readAll = () => (asked++, readAll());
    const silent = Object.create(log) as EventLog;
    silent.end = (partition) => (partition === 1 ? Promise.reject(new Error('nobody leads it')) : log.end(partition));
    const errors: [unknown, number | undefined][] = [];
    const publisher = await open({ log: silent, sink, timers, positions, heartbeatMs: 500, onError: (...error) => errors.push(error) });
    for (let partition = 0; partition < PARTITIONS; partition++) publisher.follow(partition);
    await settled(() => sink.sent.length === 2, timers);
    expect([sink.sent.map(({ partition }) => partition), sink.sentToAll]).toEqual([[0, 2], 1]);
    // The next round may have begun.
    expect(asked).toBeLessThanOrEqual(2);
    expect(errors.map(([error, partition]) => [(error as Error).message, partition])).toContainEqual(['nobody leads it', 1]);
    await publisher.leave(0);
    sink.fault = () => 'lose-answer';
    await settled(() => sink.sent.length === 4, timers);
    expect(sink.sent.slice(2).map(({ partition }) => partition)).toEqual([2, 2]);
    expect(errors.at(-1)).toEqual([new Error('the response was lost'), undefined]);
    await publisher.stop();
    // Followed again it beats again.
    sink.fault = () => 'none';
    publisher.follow(0);
    await settled(() => sink.sent.length === 5, timers);
    expect(sink.sent.at(-1)?.partition).toBe(0);
    await publisher.stop();
  });

  it('beats on while the log does not answer for one partition, asks there once, and beats there again when it answered', async () => {
    const log = newLog();
    const sink = new RecordingSink();
    const timers = new HandTimers();
    let answer: ((end: number) => void) | undefined;
    let asked = 0;
    let hangs = false;
    const hung = Object.create(log) as EventLog;
    hung.end = (partition) => {
      if (partition !== 1 || !hangs) return log.end(partition);
      asked++;
      return new Promise((resolve) => (answer = resolve));
    };
    const errors: [unknown, number | undefined][] = [];
    const beating = await open({ log: hung, sink, timers, heartbeatMs: 500, onError: (...error) => errors.push(error) });
    for (let partition = 0; partition < PARTITIONS; partition++) beating.follow(partition);
    await settled(() => beating.status().every(({ opened }) => opened));
    hangs = true;
    await settled(() => sink.sent.length >= 6, timers);
    expect(new Set(sink.sent.map(({ partition }) => partition))).toEqual(new Set([0, 2]));
    expect(asked).toBe(1);
    expect(errors).toContainEqual([expect.objectContaining({ message: expect.stringContaining('did not say') as unknown }), 1]);
    // What it says late is of another time: by then more may have come.
    hangs = false;
    answer?.(0);
    await settled(() => sink.sent.some(({ partition }) => partition === 1), timers);
    await beating.stop();
  });

  it('does not say where it is in a partition before it has read that', async () => {
    const log = newLog();
    const positions = new MemoryPositions();
    await positions.set(0, await log.id(), 0);
    const timers = new HandTimers();
    let down = true;
    const first = positions.open.bind(positions);
    positions.open = (...args) => (down ? Promise.reject(new Error('no database')) : first(...args));
    const publisher = await open({ log, sink: new RecordingSink(), positions, timers, heartbeatMs: 1e9 });
    publisher.follow(0);
    await settled(() => publisher.status()[0]?.state === 'retrying');
    expect(publisher.status()).toMatchObject([{ opened: false, problem: 'no database' }]);
    down = false;
    await settled(() => publisher.status()[0]?.state === 'following', timers);
    expect(publisher.status()).toMatchObject([{ opened: true, nextOffset: 0 }]);
    await publisher.stop();
  });
});
