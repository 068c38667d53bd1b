import { describeEventLog } from '../contract/event-log-contract.js';
import { assertBegins, assertPosition, ForeignLog, PositionBeyondEnd } from '../position.js';
import { LogDamaged } from '../event-log.js';
import { createMemoryLog } from './memory-log.js';

describeEventLog('the memory log', () => {
  let now = 1_000;
  // A clock that jumps back now and then: the log's time must not.
  const clock = { now: () => (now += now % 3 === 0 ? -5 : 7) };
  return { create: async (partitions) => createMemoryLog({ partitions, clock }) };
});

describe('a kept position', () => {
  const log = createMemoryLog({ partitions: 1, clock: { now: () => 1 }, id: 'log-a' });
  beforeAll(() => log.append(0, [{ key: 'k', value: new Uint8Array(1) }]));

  test('is good up to the end of the log it was taken from', async () => {
    await expect(assertPosition(log, 0, { logId: 'log-a', offset: 1 }, 'fabula x')).resolves.toBeUndefined();
  });

  test('of another log is refused with both ids and the command that mends it', async () => {
    const refused = assertPosition(log, 0, { logId: 'log-b', offset: 0 }, 'fabula projection rebuild');
    await expect(refused).rejects.toThrow(ForeignLog);
    await expect(refused).rejects.toThrow(/log-b.*log-a.*fabula projection rebuild/s);
  });

  test('beyond the end is refused: records that were read are gone', async () => {
    await expect(assertPosition(log, 0, { logId: 'log-a', offset: 2 }, 'fabula x')).rejects.toThrow(PositionBeyondEnd);
  });
});

test('the time of a memory log does not go back over records that it forgot', async () => {
  const clock = { time: 1_000, now: () => clock.time };
  const log = createMemoryLog({ partitions: 1, clock });
  await log.append(0, [{ key: 'k', value: new Uint8Array(1) }]);
  await log.forget(0, 1);
  clock.time = 500;
  await log.append(0, [{ key: 'k', value: new Uint8Array(1) }]);
  for await (const { records } of log.read(0, 1, { upTo: 2 })) expect(records.map(({ time }) => time)).toEqual([1_000]);
  expect.assertions(1);
});

describe('the beginnings of a log', () => {
  test('are where bases were recorded; one that lies later is loss, one that lies earlier is to be forgotten again', async () => {
    const log = createMemoryLog({ partitions: 20, clock: { now: () => 1 }, id: 'log-a' });
    for (const partition of [3, 17]) {
      await log.append(
        partition,
        [1, 2, 3].map(() => ({ key: 'k', value: new Uint8Array(1) })),
      );
      await log.forget(partition, 2);
    }
    const bases = new Map([
      [3, 2],
      [17, 3],
    ]);
    expect(await assertBegins(log, (partition) => bases.get(partition) ?? 0)).toEqual([{ partition: 17, begin: 2, base: 3 }]);
    await expect(assertBegins(log, () => 1)).rejects.toThrow(/log-a begins at offset 2, but it was pruned up to offset 1 only/);
    bases.delete(17);
    await expect(assertBegins(log, (partition) => bases.get(partition) ?? 0)).rejects.toThrow(LogDamaged);
  });
});
