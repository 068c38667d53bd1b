import type { EventLog, Offset, OldestWaiting } from '#lib/log';
import type { NodeMetrics, Sample } from './metrics.js';
import { Sampled } from './sampled.js';

/** Where a role of this process stands in a partition. */
export interface Followed {
  readonly partition: number;
  readonly nextOffset: Offset;
}

export interface LagsOptions {
  readonly metrics: NodeMetrics;
  readonly log: Pick<EventLog, 'end' | 'partitions'>;
  readonly oldest: Pick<OldestWaiting, 'lagMs'>;
  /** Partitions whose position is known; one that is not opened yet is not behind by the whole log. */
  readonly roles: { readonly [role in 'projector' | 'auditor' | 'publisher']: () => readonly Followed[] };
  /** Other partitions whose end is told of. */
  readonly others: () => readonly number[];
}

/** The gauges of how far each role is, and how far behind the log. */
export function observeLags({ metrics, log, oldest, roles, others }: LagsOptions): void {
  const byPartition = (partition: number, value: number): Sample => ({ labels: { partition: String(partition) }, value });
  // Asked apart: a partition whose leader is gone does not keep the others' from being known.
  const ends = Array.from({ length: log.partitions }, (_, partition) => new Sampled(() => log.end(partition)));
  /** A log only grows: the last end that was heard of is a bound while it does not answer. */
  const heard = new Map<number, Offset>();
  const endOf = async (partition: number): Promise<Offset | undefined> => {
    const end = await ends[partition]?.get();
    if (end !== undefined) heard.set(partition, end);
    return end;
  };

  metrics.gauge('fabula_log_end_offset', async () => {
    const followed = Object.values(roles).flatMap((role) => role().map(({ partition }) => partition));
    const partitions = [...new Set([...followed, ...others()])];
    const known = await Promise.all(partitions.map(async (partition) => ({ partition, end: await endOf(partition) })));
    return known.flatMap(({ partition, end }) => (end === undefined ? [] : [byPartition(partition, end)]));
  });
  for (const role of ['projector', 'auditor', 'publisher'] as const) {
    const behind = async (value: (one: Followed & { readonly end: Offset }) => number | Promise<number>): Promise<Sample[]> => {
      const samples = roles[role]().map(async ({ partition, nextOffset }) => {
        const end = (await endOf(partition)) ?? heard.get(partition);
        return end === undefined ? [] : [byPartition(partition, await value({ partition, nextOffset, end }))];
      });
      return (await Promise.all(samples)).flat();
    };
    metrics.gauge(`fabula_${role}_next_offset`, () => roles[role]().map(({ partition, nextOffset }) => byPartition(partition, nextOffset)));
    metrics.gauge(`fabula_${role}_lag_records`, () => behind(({ nextOffset, end }) => Math.max(0, end - nextOffset)));
    metrics.gauge(`fabula_${role}_lag_seconds`, () =>
      behind(async ({ partition, nextOffset, end }) => (await oldest.lagMs(partition, nextOffset, end)) / 1_000),
    );
  }
}
