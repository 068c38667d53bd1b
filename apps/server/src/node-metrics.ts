import type { Pool } from 'pg';
import type { Engine } from '#lib/engine';
import type { EventLog, OldestWaiting } from '#lib/log';
import { systemClock } from '#lib/platform';
import { DEAD_LETTER_KINDS, type DeadLetters, type ReadModels } from '#lib/projections';
import type { AuditService } from './audit/audit-service.js';
import type { FeedService } from './feed/feed-service.js';
import { observeLags } from './lags.js';
import type { NodeMetrics, Sample } from './metrics.js';
import type { MissingContents } from './stories/missing-contents.js';
import type { ProjectionService } from './projections/projection-service.js';
import { Sampled } from './sampled.js';

export interface ObservedNode {
  readonly metrics: NodeMetrics;
  readonly pool: Pool;
  readonly log: EventLog;
  readonly oldest: OldestWaiting;
  readonly reads: ReadModels;
  readonly engine: Engine;
  readonly projections: ProjectionService;
  readonly deadLetters: DeadLetters;
  /** Absent where nobody looks: a process without projector. */
  readonly missing: MissingContents | undefined;
  readonly audit: AuditService;
  readonly feed: FeedService;
  /** Who has which partition, by role of this process. */
  readonly owners: readonly RoleOwners[];
}

/** `self`, another process's address, or undefined while nobody is known to have the partition in that role. */
export interface RoleOwners {
  readonly role: string;
  ownerOf(partition: number): string | undefined;
}

/** Streams named at most, and the commands of the last minute that make a stream worth naming: labels must stay few. */
export const BUSIEST = 5;
export const BUSY_FROM = 60;

const BREAKER = { closed: 0, 'half-open': 1, open: 2 } as const;

/** Registers the gauges that are read off a running process when Prometheus asks. */
export function observe({
  metrics,
  pool,
  log,
  oldest,
  reads,
  engine,
  projections,
  deadLetters,
  missing,
  audit,
  feed,
  owners,
}: ObservedNode): void {
  const { now } = systemClock;
  const byPartition = (partition: number, value: number): Sample => ({ labels: { partition: String(partition) }, value });

  metrics.gauge('fabula_pending_commands', () => engine.stats().map((stats) => byPartition(stats.partition, stats.pending)));
  metrics.gauge('fabula_hot_streams', () => engine.stats().map((stats) => byPartition(stats.partition, stats.hotStreams)));
  metrics.gauge('fabula_hot_bytes', () => engine.stats().map((stats) => byPartition(stats.partition, stats.hotBytes)));
  metrics.gauge('fabula_tail_bytes', () => engine.stats().map((stats) => byPartition(stats.partition, stats.tailBytes)));

  metrics.gauge('fabula_breaker_state', () => engine.stats().map((stats) => byPartition(stats.partition, BREAKER[stats.breaker])));
  metrics.gauge('fabula_busy_stream_commands', () =>
    engine.busiest(BUSIEST, BUSY_FROM).map(({ stream, commands }) => ({ labels: { stream }, value: commands })),
  );
  metrics.gauge('fabula_log_partitions', () => [{ labels: {}, value: log.partitions }]);
  const all = Array.from({ length: log.partitions }, (_, partition) => partition);
  metrics.gauge('fabula_owned_partitions', () =>
    owners.map(({ role, ownerOf }) => ({ labels: { role }, value: all.filter((partition) => ownerOf(partition) === 'self').length })),
  );
  metrics.counter('fabula_projected_records_total', () => {
    const sums = new Map<string, number>();
    for (const { verdicts } of projections.status())
      for (const [verdict, count] of Object.entries(verdicts)) sums.set(verdict, (sums.get(verdict) ?? 0) + count);
    return [...sums].map(([verdict, value]) => ({ labels: { verdict }, value }));
  });

  observeLags({
    metrics,
    log,
    oldest,
    roles: {
      projector: () => projections.status().filter(({ state }) => state !== 'idle'),
      auditor: () => audit.status().filter(({ opened }) => opened),
      publisher: () => feed.status().filter(({ opened }) => opened),
    },
    others: () => engine.stats().map(({ partition }) => partition),
  });
  metrics.gauge('fabula_auditor_stopped', () =>
    audit.status().map(({ partition, state }) => byPartition(partition, state === 'stopped' ? 1 : 0)),
  );
  metrics.gauge('fabula_publisher_stopped', () =>
    feed.status().map(({ partition, state }) => byPartition(partition, state === 'stopped' ? 1 : 0)),
  );
  metrics.gauge('fabula_audit_note_age_seconds', () =>
    audit
      .notes()
      .flatMap(({ log: tree, signedAt }) =>
        signedAt === null ? [] : [{ labels: { tree }, value: Math.max(0, now() - signedAt) / 1_000 }],
      ),
  );

  const { witnessing } = audit;
  metrics.gauge('fabula_witness_cosignature_age_seconds', () =>
    (witnessing.known().quorum?.witnesses ?? []).flatMap(({ name, cosignedAt }) =>
      cosignedAt === null ? [] : [{ labels: { witness: name }, value: Math.max(0, now() - cosignedAt) / 1_000 }],
    ),
  );
  metrics.gauge('fabula_witness_quorum', () => {
    const { quorum } = witnessing.known();
    return quorum === undefined || quorum.quorum === 'none' ? [] : [{ labels: {}, value: quorum.quorum === 'reached' ? 1 : 0 }];
  });
  const forks = new Sampled(() => witnessing.forks());
  metrics.gauge('fabula_audit_forks', async () => {
    const found = await forks.get();
    return found === undefined ? [] : [{ labels: {}, value: found.length }];
  });
  metrics.gauge('fabula_audit_copies_failing', () => {
    const { copying } = witnessing.known();
    return copying === undefined ? [] : [{ labels: {}, value: copying.problem === null ? 0 : 1 }];
  });
  metrics.gauge('fabula_audit_timestamp_age_seconds', () => {
    const at = witnessing.known().timestamps?.stampedAt ?? null;
    return at === null ? [] : [{ labels: {}, value: Math.max(0, now() - at) / 1_000 }];
  });

  metrics.gauge('fabula_missing_contents', () => (missing === undefined ? [] : [{ labels: {}, value: missing.versions.length }]));

  const parked = new Sampled(() => reads.parkedCount());
  metrics.gauge('fabula_parked_streams', async () => {
    const count = await parked.get();
    return count === undefined ? [] : [{ labels: {}, value: count }];
  });

  const letters = new Sampled(() => deadLetters.counts());
  metrics.gauge('fabula_dead_letters', async () => {
    const counts = await letters.get();
    if (counts === undefined) return [];
    // A kind without any is 0, so that an alert can tell it from not knowing.
    const none = DEAD_LETTER_KINDS.filter((kind) => !counts.some((one) => one.kind === kind && one.status === 'open'));
    const known = counts.map(({ kind, status, count }) => ({ labels: { kind, status }, value: count }));
    return [...known, ...none.map((kind) => ({ labels: { kind, status: 'open' }, value: 0 }))];
  });

  metrics.gauge('fabula_database_connections', () => [
    { labels: { state: 'in_use' }, value: pool.totalCount - pool.idleCount },
    { labels: { state: 'idle' }, value: pool.idleCount },
  ]);
  metrics.gauge('fabula_database_waiting', () => [{ labels: {}, value: pool.waitingCount }]);
}
