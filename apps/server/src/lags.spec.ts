import { observeLags, type Followed } from './lags.js';
import { NodeMetrics } from './metrics.js';

describe('how far behind a role is', () => {
  const ends = new Map<number, () => Promise<number>>();
  const roles = { projector: [] as Followed[], auditor: [] as Followed[], publisher: [] as Followed[] };
  const metrics = new NodeMetrics();
  observeLags({
    metrics,
    log: { partitions: 3, end: (partition) => (ends.get(partition) as () => Promise<number>)() },
    oldest: { lagMs: async (_partition, nextOffset, end) => (end - nextOffset) * 2_000 },
    roles: { projector: () => roles.projector, auditor: () => roles.auditor, publisher: () => roles.publisher },
    others: () => [2],
  });
  const seen = async (): Promise<string[]> =>
    (await metrics.registry.metrics()).split('\n').filter((line) => /^fabula_(log_end|projector|auditor|publisher)_.*\}/.test(line));

  beforeEach(() => {
    jest.useFakeTimers();
    for (const partition of [0, 1, 2]) ends.set(partition, async () => 10 + partition);
    Object.assign(roles, { projector: [{ partition: 0, nextOffset: 7 }], auditor: [{ partition: 1, nextOffset: 11 }] });
  });
  afterEach(() => jest.useRealTimers());

  it('is told of where it stands, in records and seconds', async () => {
    expect(await seen()).toEqual([
      'fabula_log_end_offset{partition="0"} 10',
      'fabula_log_end_offset{partition="1"} 11',
      'fabula_log_end_offset{partition="2"} 12',
      'fabula_projector_next_offset{partition="0"} 7',
      'fabula_projector_lag_records{partition="0"} 3',
      'fabula_projector_lag_seconds{partition="0"} 6',
      'fabula_auditor_next_offset{partition="1"} 11',
      'fabula_auditor_lag_records{partition="1"} 0',
      'fabula_auditor_lag_seconds{partition="1"} 0',
    ]);
  });

  it('is told of also while the log does not say how long it is, by the last that it said; other partitions are not held up', async () => {
    jest.setSystemTime(Date.now() + 60_000);
    ends.set(0, () => new Promise(() => undefined));
    ends.set(1, () => Promise.reject(new Error('no broker')));
    const asked = seen();
    await jest.advanceTimersByTimeAsync(1_000);
    expect(await asked).toEqual([
      'fabula_log_end_offset{partition="2"} 12',
      'fabula_projector_next_offset{partition="0"} 7',
      'fabula_projector_lag_records{partition="0"} 3',
      'fabula_projector_lag_seconds{partition="0"} 6',
      'fabula_auditor_next_offset{partition="1"} 11',
      'fabula_auditor_lag_records{partition="1"} 0',
      'fabula_auditor_lag_seconds{partition="1"} 0',
    ]);
  });
});
