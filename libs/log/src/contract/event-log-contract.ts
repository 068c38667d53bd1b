import * as fc from 'fast-check';
import { LogRefused, LogUnavailable, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, type EventLog, type StoredRecord } from '../event-log.js';
import { describeForgetting } from './forgetting-laws.js';

/** What an adapter's spec hands to the suite. */
export interface LogUnderTest {
  /** A log that no other test uses, with that many partitions. */
  create(partitions: number): Promise<EventLog>;
  /** Another handle on the same log, as another process would hold it; undefined where a log cannot be shared. */
  reopen?(log: EventLog): Promise<EventLog>;
}

const text = (value: string) => Buffer.from(value, 'utf8');
const record = (key: string, value: string) => ({ key, value: text(value) });

/** Everything up to `upTo`, checked to be dense from `from`. */
export async function readAll(log: EventLog, partition: number, from: number, upTo: number): Promise<StoredRecord[]> {
  const all: StoredRecord[] = [];
  for await (const batch of log.read(partition, from, { upTo })) all.push(...batch.records);
  expect(all.map((stored) => stored.offset)).toEqual(Array.from({ length: upTo - from }, (_, index) => from + index));
  return all;
}

/** The laws of the port. Every adapter's spec runs them. */
export function describeEventLog(name: string, factory: () => LogUnderTest): void {
  describe(`the log laws, kept by ${name}`, () => {
    let under: LogUnderTest;
    let log: EventLog;
    beforeAll(() => {
      under = factory();
    });
    beforeEach(async () => {
      log = await under.create(3);
    });
    afterEach(() => log.close());

    test('offsets are dense from 0 and each partition counts for itself', async () => {
      expect(await log.end(0)).toBe(0);
      expect(await log.append(0, [record('a', '1'), record('b', '2')])).toBe(0);
      expect(await log.append(1, [record('c', 'x')])).toBe(0);
      expect(await log.append(0, [record('a', '3')])).toBe(2);
      expect(await Promise.all([0, 1, 2].map((partition) => log.end(partition)))).toEqual([3, 1, 0]);
      expect((await readAll(log, 0, 0, 3)).map((stored) => String(Buffer.from(stored.value)))).toEqual(['1', '2', '3']);
      expect((await readAll(log, 0, 1, 2)).map((stored) => stored.key)).toEqual(['b']);
    });

    test('keys, header values and every byte of the value come back as they went in', async () => {
      const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
      const headers = { traceparent: '00-abc-def-01', 'x-"quoted"': 'ü \\ \n' };
      await log.append(2, [{ key: 'playthrough/ä-😀', value: bytes, headers }, record('plain', '')]);
      const [first, second] = await readAll(log, 2, 0, 2);
      expect(first?.key).toBe('playthrough/ä-😀');
      expect([...(first?.value ?? [])]).toEqual([...bytes]);
      expect(first?.headers).toEqual(headers);
      expect(second?.value.byteLength).toBe(0);
      expect(second?.headers).toBeUndefined();
    });

    test('any batches come back byte for byte, in order, whatever the page size', async () => {
      const partition = 1;
      const model: { key: string; value: number[] }[] = [];
      const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).filter((candidate) => !candidate.includes('\0'));
      const batch = fc.array(fc.record({ key, value: fc.uint8Array({ maxLength: 300 }) }), { minLength: 1, maxLength: 20 });
      await fc.assert(
        fc.asyncProperty(batch, fc.integer({ min: 1, max: 7 }), async (records, maxRecords) => {
          expect(await log.append(partition, records)).toBe(model.length);
          model.push(...records.map((one) => ({ key: one.key, value: [...one.value] })));
          const from = Math.max(0, model.length - 30);
          const seen: { key: string; value: number[] }[] = [];
          for await (const page of log.read(partition, from, { upTo: model.length, maxRecords })) {
            expect(page.records.length).toBeLessThanOrEqual(maxRecords);
            expect(page.records.length).toBeGreaterThan(0);
            seen.push(...page.records.map((one) => ({ key: one.key, value: [...one.value] })));
          }
          expect(seen).toEqual(model.slice(from));
        }),
        { numRuns: 25 },
      );
    });

    test('a batch that is too large, empty or for no partition is refused whole', async () => {
      const many = Array.from({ length: MAX_BATCH_RECORDS + 1 }, () => record('k', 'v'));
      const heavy = Array.from({ length: 7 }, () => ({ key: 'k', value: new Uint8Array(120_000) }));
      const refused = [[], many, heavy, [{ key: 'k', value: new Uint8Array(128 * 1024 + 1) }], [record('', 'v')], [record('a\0b', 'v')]];
      for (const records of refused) await expect(log.append(0, records)).rejects.toThrow(LogRefused);
      await expect(log.append(0, [record('k', 'good'), record('\uD800', 'bad')])).rejects.toThrow(LogRefused);
      for (const partition of [3, -1, 0.5]) await expect(log.append(partition, [record('k', 'v')])).rejects.toThrow(LogRefused);
      expect(await log.end(0)).toBe(0);
    });

    test('a batch at the caps is taken, and pages stay below them', async () => {
      expect(
        await log.append(
          0,
          Array.from({ length: MAX_BATCH_RECORDS }, (_, index) => record('k', `${index}`)),
        ),
      ).toBe(0);
      const heavy = Array.from({ length: 6 }, () => ({ key: 'k', value: new Uint8Array(130_000) }));
      expect(await log.append(0, heavy)).toBe(1000);
      expect(await log.append(0, heavy)).toBe(1006);
      const sizes: number[] = [];
      for await (const page of log.read(0, 0, { upTo: 1012, maxRecords: 50_000 })) {
        sizes.push(page.records.length);
        expect(page.records.reduce((sum, one) => sum + one.value.byteLength + one.key.length, 0)).toBeLessThanOrEqual(MAX_BATCH_BYTES);
      }
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(1012);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_BATCH_RECORDS);
    });

    test('a reader at the tail gets what is appended later', async () => {
      await log.append(0, [record('a', '0')]);
      const reader = log.read(0, 0)[Symbol.asyncIterator]();
      expect((await reader.next()).value?.records[0]?.offset).toBe(0);
      for (let offset = 1; offset <= 3; offset++) {
        const next = reader.next();
        await log.append(0, [record('a', `${offset}`)]);
        const { value, done } = await next;
        expect(done).toBe(false);
        expect(value?.records.map((one: StoredRecord) => one.offset)).toEqual([offset]);
      }
      await reader.return?.();
    });

    test('a reader that waits ends without error when its signal aborts, and one whose signal is aborted reads nothing', async () => {
      const abort = new AbortController();
      const waiting = (async () => {
        let batches = 0;
        for await (const batch of log.read(1, 0, { signal: abort.signal })) batches += batch.records.length;
        return batches;
      })();
      await log.append(1, [record('a', '1')]);
      const other = log.read(1, 0, { signal: abort.signal })[Symbol.asyncIterator]();
      await other.next();
      const parked = other.next();
      abort.abort();
      expect(await waiting).toBeLessThanOrEqual(1);
      expect((await parked).done).toBe(true);
      for await (const batch of log.read(1, 0, { signal: abort.signal })) throw new Error(`read ${batch.records.length}`);
    });

    test('a read ends before upTo, waits for records below it, and reads nothing when it starts there', async () => {
      await log.append(0, [record('a', '0'), record('a', '1'), record('a', '2')]);
      expect((await readAll(log, 0, 0, 2)).length).toBe(2);
      for (const upTo of [0, 3]) for await (const batch of log.read(0, 3, { upTo })) throw new Error(`read ${batch.records.length}`);
      const waiting = readAll(log, 0, 2, 5);
      await log.append(0, [record('a', '3')]);
      await log.append(0, [record('a', '4'), record('a', '5')]);
      expect((await waiting).map((one) => String(Buffer.from(one.value)))).toEqual(['2', '3', '4']);
    });

    test('the time of a record never goes back and is the same for every read', async () => {
      for (let index = 0; index < 5; index++) await log.append(0, [record('a', `${index}`), record('b', `${index}`)]);
      const once = (await readAll(log, 0, 0, 10)).map((one) => one.time);
      expect(once).toEqual([...once].sort((left, right) => left - right));
      expect(once.every((time) => Number.isInteger(time) && time > 0)).toBe(true);
      expect((await readAll(log, 0, 0, 10)).map((one) => one.time)).toEqual(once);
    });

    test('what a caller does to its buffer after an append, or to what it read, changes nothing stored', async () => {
      const value = Buffer.from('kept');
      await log.append(0, [{ key: 'k', value }]);
      value.fill(0);
      expect(String(Buffer.from((await readAll(log, 0, 0, 1))[0]?.value ?? []))).toBe('kept');
    });

    test('its id stays, also for another handle, and another log has another', async () => {
      const id = await log.id();
      expect(id.length).toBeGreaterThanOrEqual(16);
      expect(await log.id()).toBe(id);
      const other = await under.create(1);
      expect(await other.id()).not.toBe(id);
      await other.close();
      if (under.reopen === undefined) return;
      const again = await under.reopen(log);
      expect([await again.id(), again.partitions]).toEqual([id, 3]);
      await again.close();
    });

    test('a closed log says that it is unavailable, to appends and to readers that wait', async () => {
      const waiting = log.read(0, 0)[Symbol.asyncIterator]().next();
      const outcome = expect(waiting).rejects.toThrow(LogUnavailable);
      await log.close();
      await outcome;
      await expect(log.append(0, [record('k', 'v')])).rejects.toThrow(LogUnavailable);
    });

    test('with 4 appenders and 2 readers at once, batches stay whole and in order and nobody misses a record', async () => {
      const handles = [log, log, log, log];
      if (under.reopen !== undefined) for (let index = 1; index < 4; index++) handles[index] = await under.reopen(log);
      const batches = 40;
      const sizes = (appender: number, batch: number) => 1 + ((appender * 7 + batch * 3) % 5);
      let total = 0;
      for (let appender = 0; appender < 4; appender++) for (let batch = 0; batch < batches; batch++) total += sizes(appender, batch);

      const follow = (handle: EventLog, from: number) => readAll(handle, 1, from, total);
      const readers = [follow(log, 0), follow(handles[3] ?? log, 0)];
      const placed = new Map<string, number>();
      await Promise.all(
        handles.map(async (handle, appender) => {
          for (let batch = 0; batch < batches; batch++) {
            const records = Array.from({ length: sizes(appender, batch) }, (_, index) =>
              record(`s${appender}`, `${appender}/${batch}/${index}`),
            );
            placed.set(`${appender}/${batch}`, await handle.append(1, records));
          }
        }),
      );
      const [first = [], second = []] = await Promise.all(readers);
      expect(second).toEqual(first);
      for (const [name, base] of placed) {
        const [appender = 0, batch = 0] = name.split('/').map(Number);
        const values = first.slice(base, base + sizes(appender, batch)).map((one) => String(Buffer.from(one.value)));
        expect(values).toEqual(values.map((_, index) => `${name}/${index}`));
      }
      for (let appender = 0; appender < 4; appender++) {
        const bases = Array.from({ length: batches }, (_, batch) => placed.get(`${appender}/${batch}`) ?? -1);
        expect(bases).toEqual([...bases].sort((left, right) => left - right));
      }
      await Promise.all(handles.slice(1).map((handle) => (handle === log ? undefined : handle.close())));
    });

    describeForgetting({ log: () => log, reopen: (of) => under.reopen?.(of) });
  });
}
