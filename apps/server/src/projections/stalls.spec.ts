import { Stalls, STALLED_AFTER_MS } from './stalls.js';

describe('A projector that fails again and again at one place', () => {
  let now: number;
  let alarms: string[];
  let stalls: Stalls;
  const error = 'column "x" does not exist';
  const at = (nextOffset: number) => [{ partition: 3, nextOffset, error }];
  /** Fails every 5 s, as often as that. */
  const failing = (times: number, nextOffset: number): void => {
    for (let i = 0; i < times; i++, now += 5_000) stalls.failed(3, nextOffset, error);
  };

  beforeEach(() => {
    now = 1_000_000;
    alarms = [];
    stalls = new Stalls(
      () => now,
      (message) => alarms.push(message),
    );
  });

  it('is reported once it has lasted, and the alarm is raised once', () => {
    failing(STALLED_AFTER_MS / 5_000, 17);
    expect([alarms, stalls.of(at(17))]).toEqual([[], {}]);
    failing(4, 17);
    expect(alarms).toEqual([`the projector of partition 3 is stuck at offset 17: ${error}`]);
    expect(stalls.of(at(17))).toEqual({ 3: `stuck at offset 17 for 50 s: ${error}` });
  });

  it('is no longer once it gets on, and counts anew at another place', () => {
    failing(10, 17);
    expect(stalls.of(at(18))).toEqual({});
    failing(3, 18);
    expect(stalls.of(at(18))).toEqual({});
    failing(6, 18);
    expect(alarms).toHaveLength(2);
  });

  it('is no longer when attempts stopped failing although there was nothing to project', () => {
    failing(10, 17);
    now += 120_000;
    expect(stalls.of(at(17))).toEqual({});
    failing(1, 17);
    expect(stalls.of(at(17))).toEqual({});
  });
});
