import * as fc from 'fast-check';
import {
  admissible,
  admit,
  decodeRecord,
  EMPTY_HEAD,
  encodeRecord,
  partitionOf,
  type DecisionRecord,
  type StreamHead,
} from '#lib/decision';
import { LogUnavailable, OutcomeUnknown, type EventLog, type LogRecord, type StoredRecord } from '../event-log.js';
import { createMemoryLog } from '../memory/memory-log.js';
import { copyLog, CopyRefused, type CopyOptions, type CopyProgress } from './copy-log.js';
import { CopyUnfinished, refuseUnfinishedCopy } from './copy-state.js';
import { UnknownVerdict } from './head-tally.js';
import { evolveLog, logStream, type LogEvent, type LogState } from './log-stream.js';

let uuid = 0;
const clock = { now: () => 1_700_000_000_000 };
const ids = { uuid: () => `00000000-0000-4000-8000-${String(++uuid).padStart(12, '0')}`, hex: () => '00' };
const timers = {
  after(_ms: number, callback: () => void) {
    const immediate = setImmediate(callback);
    return () => clearImmediate(immediate);
  },
};
const memory = (partitions: number, id: string): EventLog => createMemoryLog({ partitions, clock, id });
const copy = (from: EventLog, to: EventLog, options: Partial<CopyOptions> = {}) =>
  copyLog({ from, to, note: null, clock, timers, ids, ...options });

/** A record of a stream whose head is that, by its how-many-th command. */
function record(stream: string, head: StreamHead, command: string, events = 1): LogRecord {
  const value: DecisionRecord = {
    v: 1,
    stream,
    expectedVersion: head.version,
    previous: head.previous,
    commandId: `c:${command}`,
    commandDigest: '0'.repeat(64),
    eventCount: events,
    correlationId: '',
    causationId: null,
    actor: { id: 'somebody', role: 'reader' },
    at: 0,
    events: Array.from({ length: events }, () => ({ type: 'X', v: 1 })),
  };
  return { key: stream, value: encodeRecord(value), headers: { traceparent: `00-${command}` } };
}

type Step = {
  readonly stream: number;
  readonly what: 'accepted' | 'repeated' | 'stale' | 'garbage' | 'misplaced';
  readonly events: number;
};
const steps = fc.array(
  fc.record({
    stream: fc.nat(7),
    what: fc.constantFrom('accepted', 'accepted', 'accepted', 'repeated', 'stale', 'garbage', 'misplaced'),
    events: fc.integer({ min: 1, max: 3 }),
  }) as fc.Arbitrary<Step>,
  { maxLength: 120 },
);

/** A log in which every verdict occurs. */
async function written(partitions: number, all: readonly Step[]): Promise<EventLog> {
  const log = memory(partitions, 'old-log');
  const heads = new Map<string, { readonly head: StreamHead; readonly last: LogRecord }>();
  for (const [index, { stream: number, what, events }] of all.entries()) {
    const stream = `playthrough/${number}`;
    const partition = partitionOf(stream, partitions);
    const known = heads.get(stream);
    if (what === 'garbage') await log.append(partition, [{ key: 'x', value: Buffer.from('garbage') }]);
    else if (what === 'misplaced') await log.append((partition + 1) % partitions, [record(stream, EMPTY_HEAD, `m${index}`)]);
    else if (what === 'repeated' && known !== undefined) await log.append(partition, [known.last]);
    else if (what === 'stale' && known !== undefined) await log.append(partition, [record(stream, EMPTY_HEAD, `s${index}`)]);
    else {
      const next = record(stream, known?.head ?? EMPTY_HEAD, `${index}`, events);
      const offset = await log.append(partition, [next]);
      const decoded = decodeRecord(next.value);
      if (decoded.kind !== 'record') throw new Error('no record');
      const { head } = admit(known?.head ?? EMPTY_HEAD, decoded.record, decoded.digest, offset);
      heads.set(stream, { head, last: next });
    }
  }
  return log;
}

async function everything(log: EventLog, partition: number): Promise<StoredRecord[]> {
  const all: StoredRecord[] = [];
  for await (const { records } of log.read(partition, 0, { upTo: await log.end(partition) })) all.push(...records);
  return all;
}

/** What counts in a log: by stream, the accepted records' bytes in order. The oracle, with no thought of memory. */
async function history(log: EventLog): Promise<Map<string, string[]>> {
  const streams = new Map<string, { head: StreamHead; values: string[] }>();
  for (let partition = 0; partition < log.partitions; partition++) {
    for (const { value, offset } of await everything(log, partition)) {
      const decoded = decodeRecord(value);
      if (!admissible(decoded, partition, log.partitions)) continue;
      const { stream } = decoded.record;
      const before = streams.get(stream) ?? { head: EMPTY_HEAD, values: [] };
      const { verdict, head } = admit(before.head, decoded.record, decoded.digest, offset);
      if (verdict === 'accepted') streams.set(stream, { head, values: [...before.values, Buffer.from(value).toString('utf8')] });
    }
  }
  return new Map([...streams].map(([stream, { values }]) => [stream, values]));
}
const without = (all: Map<string, string[]>, stream: string) => new Map([...all].filter(([name]) => name !== stream));

describe('a copied log', () => {
  test('holds exactly what was accepted, each stream in its order, whatever the partition counts and the memory', async () => {
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 8 }),
        fc.constantFrom(1_000, 1_000_000),
        async (all, before, after, memoryBytes) => {
          const from = await written(before, all);
          const to = memory(after, 'new-log');
          const report = await copy(from, to, { memoryBytes });
          const expected = await history(from);
          expect(without(await history(to), logStream('new-log'))).toEqual(expected);
          const records = [...expected.values()].flat().length;
          let ends = 0;
          for (let partition = 0; partition < before; partition++) ends += await from.end(partition);
          expect(report).toMatchObject({ records, appended: records, streams: expected.size, leftBehind: ends - records, repeated: 0 });
        },
      ),
      { numRuns: 60 },
    );
  });

  test('goes on after any interruption, through lost answers, and says what stands there twice', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.array(fc.constantFrom('ok', 'lost', 'unavailable', 'break'), { maxLength: 40 }), async (all, faults) => {
        const from = await written(3, all);
        const to = memory(5, 'new-log');
        let at = 0;
        const faulty: EventLog = new Proxy(to, {
          get(target, name: keyof EventLog) {
            if (name !== 'append') {
              const member = target[name];
              return typeof member === 'function' ? member.bind(target) : member;
            }
            return async (partition: number, records: readonly LogRecord[]) => {
              const fault = faults[at++] ?? 'ok';
              if (fault === 'unavailable') throw new LogUnavailable('not now');
              if (fault === 'break') throw new Error('power cut');
              const base = await target.append(partition, records);
              if (fault === 'lost') throw new OutcomeUnknown('the answer was lost');
              return base;
            };
          },
        });
        let report;
        while (report === undefined) {
          report = await copy(from, faulty, { memoryBytes: 5_000 }).catch((error: Error) => {
            if (error.message !== 'power cut') throw error;
            return undefined;
          });
        }
        expect(without(await history(to), logStream('new-log'))).toEqual(await history(from));
        // Once more: nothing is left to do.
        expect(await copy(from, to)).toMatchObject({ appended: 0, headsDigest: report.headsDigest });
      }),
      { numRuns: 60 },
    );
  });

  test("begins with a seal of the old log's ends and last note, and ends with a word that it is whole", async () => {
    const from = await written(2, [{ stream: 1, what: 'accepted', events: 2 }]);
    const to = memory(3, 'new-log');
    const { headsDigest } = await copy(from, to, { note: 'a signed note\n' });
    const partition = partitionOf(logStream('new-log'), 3);
    const records = (await everything(to, partition))
      .map(({ value }) => decodeRecord(value))
      .map((one) => (one.kind === 'record' ? one.record : undefined));
    expect(records[0]?.stream).toBe('log/new-log');
    const events = records.filter((one) => one?.stream === 'log/new-log').flatMap((one) => one?.events as unknown as LogEvent[]);
    const ends = [await from.end(0), await from.end(1)];
    expect(events).toEqual([
      { type: 'LogCopied', v: 1, from: 'old-log', ends, note: 'a signed note\n', at: clock.now() },
      { type: 'LogCopyFinished', v: 1, from: 'old-log', streams: 1, records: 1, headsDigest, at: clock.now() },
    ]);
    const state = events.reduce<LogState | null>(evolveLog, null);
    expect(state).toEqual({ from: 'old-log', ends, note: 'a signed note\n', finished: true });
    expect(() => evolveLog(state, events[0] as LogEvent)).toThrow('copied once');
    expect(() => evolveLog(null, events[1] as LogEvent)).toThrow('that was begun');
  });

  test('is not taken for whole before its last record', async () => {
    const from = await written(2, [{ stream: 1, what: 'accepted', events: 1 }]);
    const to = memory(3, 'new-log');
    const abort = new AbortController();
    const onProgress = ({ phase }: CopyProgress): void => {
      if (phase === 'checking') abort.abort(new Error('power cut'));
    };
    await expect(copy(from, to, { onProgress, signal: abort.signal })).rejects.toThrow('power cut');
    await expect(refuseUnfinishedCopy(to)).rejects.toThrow(CopyUnfinished);
    await copy(from, to);
    await expect(refuseUnfinishedCopy(to)).resolves.toBeUndefined();
    // A log that is no copy, and one that nothing was written to.
    await expect(refuseUnfinishedCopy(from)).resolves.toBeUndefined();
    await expect(refuseUnfinishedCopy(memory(2, 'empty'))).resolves.toBeUndefined();
  });

  test('of a copy keeps what the first copy said about itself', async () => {
    const from = await written(2, [{ stream: 1, what: 'accepted', events: 1 }]);
    const [first, second] = [memory(3, 'first'), memory(1, 'second')];
    await copy(from, first);
    await copy(first, second);
    expect([...(await history(second)).keys()].sort()).toEqual(['log/first', 'log/second', 'playthrough/1']);
  });

  test('tells how far it is, and ends where it said', async () => {
    const from = await written(
      2,
      Array.from({ length: 50 }, (_, stream) => ({ stream: stream % 8, what: 'accepted' as const, events: 1 })),
    );
    const seen: CopyProgress[] = [];
    await copy(from, memory(2, 'new-log'), { onProgress: (progress) => seen.push(progress) });
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(['copying', 'checking']));
    for (const phase of ['copying', 'checking']) {
      const last = seen.findLast((one) => one.phase === phase);
      expect(last?.done).toBe(last?.total);
    }
    expect(seen.find(({ phase }) => phase === 'copying')?.total).toBe(50);
  });
});

describe('a copy is refused', () => {
  const some: readonly Step[] = [{ stream: 1, what: 'accepted', events: 1 }];
  const code = (refused: Promise<unknown>) =>
    refused.then(
      () => 'taken',
      (error: unknown) => (error instanceof CopyRefused ? error.code : error),
    );

  test('into itself, into a log that holds something, and into a copy of another log', async () => {
    const from = await written(2, some);
    expect(await code(copy(from, from))).toBe('SAME_LOG');
    const used = memory(2, 'used');
    await used.append(0, [record('playthrough/z', EMPTY_HEAD, '1')]);
    await used.append(1, [record('playthrough/z', EMPTY_HEAD, '1')]);
    expect(await code(copy(from, used))).toBe('NOT_EMPTY');
    const other = memory(2, 'other');
    await copy(memory(2, 'yet-another'), other);
    expect(await code(copy(from, other))).toBe('NOT_EMPTY');
  });

  test('when something of it was pruned, before or meanwhile; nothing says then that the copy is whole', async () => {
    const from = await written(2, some);
    for (const partition of [0, 1]) await from.forget(partition, await from.end(partition));
    const meanwhile = memory(2, 'new-log');
    const empty = memory(2, 'third-log');
    expect(await code(copy(from, empty))).toBe('LOG_PRUNED');
    expect([await empty.end(0), await empty.end(1)]).toEqual([0, 0]);
    const late = await written(2, some);
    const forgetting = Object.create(late) as EventLog;
    forgetting.end = async (partition) => {
      const end = await late.end(partition);
      await late.forget(partition, end);
      return end;
    };
    expect(await code(copy(forgetting, meanwhile))).toBe('LOG_PRUNED');
    expect(JSON.stringify([...(await history(meanwhile)).values()])).not.toContain('LogCopyFinished');
  });

  test('into one that was pruned, which is no copy any more; a server takes that', async () => {
    const from = await written(1, some);
    const to = memory(1, 'new-log');
    await copy(from, to);
    await expect(refuseUnfinishedCopy(to)).resolves.toBeUndefined();
    await to.forget(0, 1);
    await expect(refuseUnfinishedCopy(to)).resolves.toBeUndefined();
    expect(await code(copy(from, to))).toBe('NOT_EMPTY');
  });

  test('when the old log is written to meanwhile, and then nothing says that the copy is whole', async () => {
    const from = await written(2, some);
    const to = memory(2, 'new-log');
    const onProgress = ({ phase }: CopyProgress): void => {
      if (phase === 'copying') void from.append(0, [record('playthrough/late', EMPTY_HEAD, 'late')]);
    };
    expect(await code(copy(from, to, { onProgress }))).toBe('LOG_GREW');
    expect(await code(copy(from, to))).toBe('LOG_GREW');
    expect(JSON.stringify([...(await history(to)).values()])).not.toContain('LogCopyFinished');
  });

  test('when the copy is written to meanwhile', async () => {
    const from = await written(1, some);
    const to = memory(1, 'new-log');
    const onProgress = ({ phase }: CopyProgress): void => {
      if (phase === 'copying') void to.append(0, [record('playthrough/foreign', EMPTY_HEAD, 'foreign')]);
    };
    expect(await code(copy(from, to, { onProgress }))).toBe('COPY_DIFFERS');
  });

  test('at a record of a newer Fabula, unless that was released', async () => {
    const from = await written(1, some);
    await from.append(0, [{ key: 'playthrough/1', value: Buffer.from('{"v":2}') }]);
    await expect(copy(from, memory(2, 'new-log'))).rejects.toThrow(UnknownVerdict);
    const report = await copy(from, memory(2, 'other-log'), { releases: { has: async () => true } });
    expect(report).toMatchObject({ records: 1, leftBehind: 1 });
  });

  test('when it is aborted, with the reason', async () => {
    const from = await written(1, some);
    const abort = new AbortController();
    const onProgress = (): void => abort.abort(new Error('enough'));
    await expect(copy(from, memory(2, 'new-log'), { onProgress, signal: abort.signal })).rejects.toThrow('enough');
  });
});
