import { Counter, Gauge, Histogram } from 'prom-client';
import { createMetrics, type Metrics } from '#lib/platform';

/** What Prometheus sees of this process. */
export class NodeMetrics {
  readonly registry: Metrics = createMetrics();
  private readonly commands = new Counter({
    name: 'fabula_commands_total',
    help: 'Commands by what became of them',
    labelNames: ['command', 'outcome'],
    registers: [this.registry],
  });
  private readonly seconds = new Histogram({
    name: 'fabula_command_seconds',
    help: 'Time from a command to its verdict',
    labelNames: ['command'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.registry],
  });
  private readonly engine = new Counter({
    name: 'fabula_engine_total',
    help: 'What happened in the partition writers: accepted, conflict, append_unknown, …',
    labelNames: ['what'],
    registers: [this.registry],
  });
  private readonly batch = new Histogram({
    name: 'fabula_append_batch_records',
    help: 'Records per append',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000],
    registers: [this.registry],
  });
  private readonly alarms = new Counter({
    name: 'fabula_alarms_total',
    help: 'Things an operator must look at; the log says what',
    registers: [this.registry],
  });

  private readonly subscriptions = new Gauge({
    name: 'fabula_subscriptions',
    help: 'Playthroughs that readers follow here now',
    registers: [this.registry],
  });

  command(type: string, outcome: string, ms: number): void {
    this.commands.inc({ command: type, outcome });
    this.seconds.observe({ command: type }, ms / 1_000);
  }
  engineEvent(name: string, value: number): void {
    if (name === 'batch_records') this.batch.observe(value);
    else this.engine.inc({ what: name }, value);
  }
  /** A reader follows a playthrough; call what is returned when that ends. */
  subscribed(): () => void {
    this.subscriptions.inc();
    return () => this.subscriptions.dec();
  }
  alarm(): void {
    this.alarms.inc();
  }

  /** A gauge per partition that is read when Prometheus asks. */
  perPartition(name: string, help: string, read: () => readonly { readonly partition: number; readonly value: number }[]): void {
    const gauge: Gauge<'partition'> = new Gauge({
      name,
      help,
      labelNames: ['partition'],
      registers: [],
      collect: () => {
        for (const { partition, value } of read()) gauge.set({ partition: String(partition) }, value);
      },
    });
    this.registry.registerMetric(gauge);
  }
}
