import { describeEventLog } from '../contract/event-log-contract.js';
import { assertPosition, ForeignLog, PositionBeyondEnd } from '../position.js';
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
