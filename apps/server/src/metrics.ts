import { Counter, Gauge, Histogram } from 'prom-client';
import { createMetrics, systemClock, type Metrics } from '#lib/platform';
import { RecentCommands } from './operations/recent-commands.js';
import type { AppendOutcome } from './observed-log.js';
import { METRICS, type CounterName, type GaugeName, type MetricName } from './metrics-catalogue.js';

/** One value of a gauge with the values of its labels. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What Prometheus sees of this process. */
export class NodeMetrics {
  readonly registry: Metrics = createMetrics();
  readonly recent = new RecentCommands(systemClock);
  private readonly commands = new Counter({ ...this.entry('fabula_commands_total'), labelNames: ['command', 'outcome'] });
  private readonly seconds = new Histogram({
    ...this.entry('fabula_command_seconds'),
    labelNames: ['command'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  });
  private readonly engine = new Counter({ ...this.entry('fabula_engine_total'), labelNames: ['what'] });
  private readonly batch = new Histogram({
    ...this.entry('fabula_append_batch_records'),
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000],
  });
  private readonly appends = new Histogram({
    ...this.entry('fabula_append_seconds'),
    labelNames: ['outcome'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  });
  private readonly rebalances = new Counter({ ...this.entry('fabula_rebalances_total'), labelNames: ['group'] });
  private readonly deadLetters = new Counter({ ...this.entry('fabula_dead_letters_total'), labelNames: ['kind'] });
  private readonly drifts = new Counter({ ...this.entry('fabula_drift_total'), labelNames: ['what', 'type'] });
  private readonly alarms = new Counter(this.entry('fabula_alarms_total'));
  private readonly subscriptions = new Gauge(this.entry('fabula_subscriptions'));

  command(type: string, outcome: string, ms: number): void {
    this.recent.note(outcome, ms);
    this.commands.inc({ command: type, outcome });
    this.seconds.observe({ command: type }, ms / 1_000);
  }
  engineEvent(name: string, value: number): void {
    if (name === 'batch_records') this.batch.observe(value);
    else this.engine.inc({ what: name }, value);
  }
  /** One try to append a batch. */
  appended(outcome: AppendOutcome, seconds: number): void {
    this.appends.observe({ outcome }, seconds);
  }
  /** The partitions of a role were shared out anew. */
  rebalanced(group: string): void {
    this.rebalances.inc({ group });
  }
  /** A reader follows a playthrough; call what is returned when that ends. */
  subscribed(): () => void {
    this.subscriptions.inc();
    return () => this.subscriptions.dec();
  }
  deadLetter(kind: string): void {
    this.deadLetters.inc({ kind });
  }
  drift({ what, type, count }: { readonly what: string; readonly type: string; readonly count: number }): void {
    this.drifts.inc({ what, type }, count);
  }
  alarm(): void {
    this.alarms.inc();
  }

  /** A gauge that is read when Prometheus asks; only what `read` answers is shown. It must not throw. */
  gauge(name: GaugeName, read: () => Promise<readonly Sample[]> | readonly Sample[]): void {
    const gauge: Gauge = new Gauge({
      ...this.entry(name),
      labelNames: [...METRICS[name].labels],
      collect: async () => {
        const samples = await read();
        // A partition that was given away must not stay with its last value.
        gauge.reset();
        if (METRICS[name].labels.length === 0 && samples.length === 0) gauge.remove();
        for (const { labels, value } of samples) gauge.set(labels, value);
      },
    });
  }

  /** A counter that somebody else counts, read when Prometheus asks. It must not throw. */
  counter(name: CounterName, read: () => readonly Sample[]): void {
    const counter: Counter = new Counter({
      ...this.entry(name),
      labelNames: [...METRICS[name].labels],
      collect: () => {
        counter.reset();
        for (const { labels, value } of read()) counter.inc(labels, value);
      },
    });
  }

  private entry(name: MetricName): { readonly name: string; readonly help: string; readonly registers: Metrics[] } {
    return { name, help: METRICS[name].help, registers: [this.registry] };
  }
}
