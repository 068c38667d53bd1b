import * as fc from 'fast-check';
import { LogRefused, LogUnavailable, RecordsForgotten, type EventLog, type StoredRecord } from '../event-log.js';

export interface Forgetting {
  readonly log: () => EventLog;
  /** Another handle on the same log; undefined where a log cannot be shared. */
  readonly reopen: (log: EventLog) => Promise<EventLog> | undefined;
}

const record = (value: string) => ({ key: 'playthrough/p', value: Buffer.from(value) });
const numbered = (from: number, count: number) => Array.from({ length: count }, (_, index) => record(`${from + index}`));
const textOf = (stored: StoredRecord): string => Buffer.from(stored.value).toString();
const upFrom = (from: number, end: number): string[] => Array.from({ length: end - from }, (_, index) => `${from + index}`);

async function texts(log: EventLog, partition: number, from: number, upTo: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const { records } of log.read(partition, from, { upTo })) {
    for (const stored of records) {
      expect(stored.offset).toBe(from + seen.length);
      seen.push(textOf(stored));
    }
  }
  return seen;
}

/** What a log answers whose partition 0 holds the numbers of its offsets, from `begin` to `end`. */
async function expectBegun(log: EventLog, begin: number, end: number): Promise<void> {
  expect([await log.begin(0), await log.end(0)]).toEqual([begin, end]);
  expect(await texts(log, 0, begin, end)).toEqual(upFrom(begin, end));
  for (const from of new Set([0, begin - 1])) {
    if (from < 0 || from >= begin) continue;
    const expected = { name: 'RecordsForgotten', partition: 0, from, begin };
    await expect(texts(log, 0, from, Math.max(end, from + 1))).rejects.toMatchObject(expected);
    // Whoever would follow the tail, or wants a single record, is told the same.
    await expect(log.read(0, from)[Symbol.asyncIterator]().next()).rejects.toThrow(RecordsForgotten);
    await expect(texts(log, 0, from, from + 1)).rejects.toThrow(RecordsForgotten);
  }
}

/** Reads one page after another; the records until the end or, told by `forgotten`, until they are gone. */
async function follow(
  reader: AsyncIterator<{ readonly records: readonly StoredRecord[] }>,
): Promise<{ seen: string[]; forgotten: boolean }> {
  const seen: string[] = [];
  try {
    for (let page = await reader.next(); page.done !== true; page = await reader.next()) seen.push(...page.value.records.map(textOf));
    return { seen, forgotten: false };
  } catch (error) {
    expect(error).toBeInstanceOf(RecordsForgotten);
    return { seen, forgotten: true };
  }
}

/** The laws of forgetting. */
export function describeForgetting({ log, reopen }: Forgetting): void {
  test('a log begins at 0, and after what was forgotten: from there on all is as it was, below is nothing', async () => {
    await log().append(0, numbered(0, 10));
    await log().append(1, numbered(0, 3));
    expect(await log().begin(0)).toBe(0);
    await log().forget(0, 4);
    await expectBegun(log(), 4, 10);
    expect(await log().append(0, numbered(10, 2))).toBe(10);
    await expectBegun(log(), 4, 12);
    await log().forget(0, 11);
    await expectBegun(log(), 11, 12);
    expect([await log().begin(1), await log().end(1)]).toEqual([0, 3]);
    expect(await texts(log(), 1, 0, 3)).toEqual(upFrom(0, 3));
  });

  test('forgetting may be repeated, never goes back, and what it cannot mean changes nothing', async () => {
    await log().forget(0, 0);
    await log().append(0, numbered(0, 5));
    for (const before of [2, 2, 0, 1, 2]) await log().forget(0, before);
    await expectBegun(log(), 2, 5);
    for (const before of [6, -1, 2.5, Number.NaN, Infinity]) await expect(log().forget(0, before)).rejects.toThrow(RangeError);
    for (const partition of [3, -1, 0.5]) {
      await expect(log().forget(partition, 0)).rejects.toThrow(LogRefused);
      await expect(log().begin(partition)).rejects.toThrow(LogRefused);
    }
    await expectBegun(log(), 2, 5);
  });

  test('when everything is forgotten it begins at its end, offsets go on, and time does not go back', async () => {
    await log().append(0, numbered(0, 3));
    let last = 0;
    for await (const { records } of log().read(0, 0, { upTo: 3 })) last = records.at(-1)?.time ?? 0;
    await log().forget(0, 3);
    await expectBegun(log(), 3, 3);
    await log().forget(0, 3);
    const again = await reopen(log());
    if (again !== undefined) {
      await expectBegun(again, 3, 3);
      expect(await again.append(0, numbered(3, 1))).toBe(3);
      await again.close();
    } else {
      expect(await log().append(0, numbered(3, 1))).toBe(3);
    }
    expect(await log().append(0, numbered(4, 1))).toBe(4);
    await expectBegun(log(), 3, 5);
    for await (const { records } of log().read(0, 3, { upTo: 5 }))
      for (const { time } of records) expect(time).toBeGreaterThanOrEqual(last);
    await log().forget(0, 5);
    await expectBegun(log(), 5, 5);
  });

  test('what was forgotten stays so for every other handle, opened before or after', async () => {
    const before = await reopen(log());
    await log().append(0, numbered(0, 6));
    if (before !== undefined) expect(await texts(before, 0, 0, 6)).toHaveLength(6);
    await log().forget(0, 5);
    const after = await reopen(log());
    for (const handle of [before, after]) {
      if (handle === undefined) continue;
      await expectBegun(handle, 5, 6);
      await handle.forget(0, 3);
      await expectBegun(handle, 5, 6);
      expect(await handle.id()).toBe(await log().id());
      await handle.close();
    }
    await expectBegun(log(), 5, 6);
  });

  test('a reader under way below it gets its records or is told that they are gone, never a gap', async () => {
    await log().append(0, numbered(0, 400));
    for (const { from, before, reading } of [
      { from: 0, before: 150, reading: { upTo: 400 } },
      { from: 150, before: 300, reading: {} },
    ]) {
      const pages = log().read(0, from, { ...reading, maxRecords: 3 });
      const reader = pages[Symbol.asyncIterator]();
      const seen = (await reader.next()).value?.records.map(textOf) ?? [];
      await log().forget(0, before);
      try {
        while (from + seen.length < 400) seen.push(...((await reader.next()).value?.records.map(textOf) ?? []));
      } catch (error) {
        expect(error).toBeInstanceOf(RecordsForgotten);
      }
      await reader.return?.();
      expect(seen).toEqual(upFrom(from, from + seen.length));
      expect(await texts(log(), 0, before, 400)).toEqual(upFrom(before, 400));
    }
  });

  test('a reader that waits at the tail does not notice that all before it was forgotten', async () => {
    await log().append(0, numbered(0, 2));
    const reader = log().read(0, 2)[Symbol.asyncIterator]();
    const waiting = reader.next();
    await log().forget(0, 2);
    await log().append(0, numbered(2, 1));
    expect((await waiting).value?.records.map(textOf)).toEqual(['2']);
    await log().forget(0, 3);
    const next = reader.next();
    await log().append(0, numbered(3, 1));
    expect((await next).value?.records.map(textOf)).toEqual(['3']);
    await reader.return?.();
  });

  test('while others append and read, forgetting loses nothing from there on, whoever is first', async () => {
    const other = (await reopen(log())) ?? log();
    const [batches, size] = [30, 4];
    const total = batches * size;
    const reader = follow(log().read(0, 0, { upTo: total, maxRecords: 7 })[Symbol.asyncIterator]());
    const written = { end: 0 };
    const writing = (async () => {
      for (let batch = 0; batch < batches; batch++) {
        expect(await log().append(0, numbered(batch * size, size))).toBe(batch * size);
        written.end = (batch + 1) * size;
      }
    })();
    let begun = 0;
    const forgetting = async (handle: EventLog, behind: number): Promise<void> => {
      while (written.end < total) {
        const before = Math.max(0, written.end - behind);
        await handle.forget(0, before);
        const begin = await handle.begin(0);
        expect(begin).toBeGreaterThanOrEqual(before);
        expect(await handle.end(0)).toBeGreaterThanOrEqual(begin);
        begun = Math.max(begun, begin);
      }
    };
    await Promise.all([writing, forgetting(log(), 0), forgetting(other, 9)]);
    await expectBegun(log(), await log().begin(0), total);
    expect(await log().begin(0)).toBeGreaterThanOrEqual(begun);
    const { seen, forgotten } = await reader;
    expect(seen).toEqual(upFrom(0, seen.length));
    expect(forgotten || seen.length === total).toBe(true);
    if (other !== log()) await other.close();
  });

  test('after any appends and forgettings it answers as a list does whose beginning was cut off', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 12 }) }),
      fc.record({ kind: fc.constant('forget' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
    );
    let [begin, end] = [0, 0];
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
        for (const one of steps) {
          if (one.kind === 'append') {
            expect(await log().append(0, numbered(end, one.count))).toBe(end);
            end += one.count;
          } else {
            const before = Math.round(end * one.share);
            await log().forget(0, before);
            begin = Math.max(begin, before);
          }
        }
        await expectBegun(log(), begin, end);
      }),
      { numRuns: 12 },
    );
  });

  test('a closed log neither begins nor forgets', async () => {
    await log().append(0, numbered(0, 1));
    await log().close();
    await expect(log().begin(0)).rejects.toThrow(LogUnavailable);
    await expect(log().forget(0, 1)).rejects.toThrow(LogUnavailable);
  });
}
