import type { Pool } from 'pg';
import type { EventLog } from '#lib/log';
import { errorText, systemTimers, type Config, type Logger } from '#lib/platform';
import { PostgresProjection, Projector, type PartitionStatus } from '#lib/projections';
import type { NodeMetrics } from '../metrics.js';

interface ProjectionServiceOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly pool: Pool;
  readonly log: EventLog;
  readonly metrics: NodeMetrics;
  readonly alarm: (message: string) => void;
}

/** The projector of one process, on the live generation. */
export class ProjectionService {
  private constructor(private readonly projector: Projector) {}

  static async open({ pool, log, logger, metrics, alarm }: ProjectionServiceOptions): Promise<ProjectionService> {
    const projector = await Projector.open({
      log,
      store: new PostgresProjection(pool),
      timers: systemTimers,
      onError: (error, partition) => logger.warn({ partition, error: errorText(error) }, 'the projector tries again'),
      onParked: ({ stream, code, reason }, partition) => alarm(`${stream} on partition ${partition} is parked: ${code}, ${reason}`),
    });
    metrics.perPartition('fabula_projector_next_offset', 'Offset that the projector of this process takes next', () =>
      projector.status().map(({ partition, nextOffset }) => ({ partition, value: nextOffset })),
    );
    return new ProjectionService(projector);
  }

  follow(partition: number): void {
    this.projector.start([partition]);
  }
  leave(partition: number): Promise<void> {
    return this.projector.stop([partition]);
  }
  stop(): Promise<void> {
    return this.projector.stop();
  }
  status(): readonly PartitionStatus[] {
    return this.projector.status();
  }
  onCommit(listener: (commit: { readonly partition: number; readonly to: number }) => void): void {
    this.projector.onCommit(listener);
  }
}
