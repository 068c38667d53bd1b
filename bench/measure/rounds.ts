import { CpuMeter, type CpuUse } from './cpu.js';
import { percentiles, type Percentiles } from './percentiles.js';

/** One side's measurement in one round. */
export interface Sample {
  /** In the row's unit. */
  readonly value: number;
  /** Commands, turns, events…: what CPU time is divided by. */
  readonly operations: number;
  /** Of single operations, ms. */
  readonly latencies?: readonly number[];
}

export type SideName = 'fabula' | 'peer' | 'floor';
export type Side = (round: number) => Promise<Sample>;

export interface SideResult {
  readonly median: number;
  readonly samples: readonly number[];
  readonly latency?: Percentiles;
  /** Median of each round, ms. */
  readonly p50s?: readonly number[];
  /** 99th percentile of each round, ms. */
  readonly p99s?: readonly number[];
  /** All processes that count together. */
  readonly cpuMicrosPerOperation: number;
  /** The same of each round. */
  readonly cpuMicros?: readonly number[];
}

export interface Measured {
  readonly sides: Partial<Record<SideName, SideResult>>;
  /** Median share of the machine that others used meanwhile; undefined where it cannot be seen. */
  readonly foreignCpu: number | undefined;
}

export interface RoundsOptions {
  readonly rounds: number;
  /** Processes whose CPU time counts beside this one's: Postgres, a server. For each side its own where both run all the time. */
  readonly processes?: readonly number[] | Readonly<Partial<Record<SideName, readonly number[]>>>;
  /** Further processes of the bench, whose CPU time is neither counted nor foreign: a load generator that is the same for all sides. */
  readonly beside?: readonly number[];
  /** Called before each side; its time counts for nobody. */
  readonly between?: () => Promise<void>;
  readonly onRound?: (round: number, side: SideName, sample: Sample) => void;
}

/** Runs the sides in turn, A B C A B C…, so that what disturbs the machine disturbs all of them. Round 0 warms up and does not count. */
export async function interleaved(sides: Partial<Record<SideName, Side>>, options: RoundsOptions): Promise<Measured> {
  const names = (['fabula', 'peer', 'floor'] as const).filter((name) => sides[name] !== undefined);
  const taken = new Map<SideName, { sample: Sample; cpu: CpuUse }[]>(names.map((name) => [name, []]));
  const foreign: number[] = [];
  for (let round = 0; round <= options.rounds; round++) {
    for (const name of names) {
      await options.between?.();
      const [counted, others] = processesOf(name, options);
      const meter = CpuMeter.start(counted, others);
      const sample = await (sides[name] as Side)(round);
      const cpu = meter.stop();
      if (round === 0) continue;
      taken.get(name)?.push({ sample, cpu });
      if (cpu.foreign !== undefined) foreign.push(cpu.foreign);
      options.onRound?.(round, name, sample);
    }
  }
  const results: Partial<Record<SideName, SideResult>> = {};
  for (const [name, list] of taken) results[name] = sideResult(list);
  return { sides: results, foreignCpu: foreign.length === 0 ? undefined : median(foreign) };
}

function processesOf(
  name: SideName,
  { processes = [], beside = [] }: RoundsOptions,
): [counted: readonly number[], others: readonly number[]] {
  if (!('fabula' in processes)) return [processes as readonly number[], beside];
  const counted = processes[name] ?? [];
  const all = Object.values(processes).flat();
  return [counted, [...beside, ...all.filter((pid) => !counted.includes(pid))]];
}

function sideResult(list: readonly { sample: Sample; cpu: CpuUse }[]): SideResult {
  const samples = list.map(({ sample }) => sample.value);
  const latencies = list.flatMap(({ sample }) => sample.latencies ?? []);
  const cpuMicros = list.map(({ sample, cpu }) => cpu.micros / Math.max(1, sample.operations));
  return {
    median: median(samples),
    samples,
    ...(latencies.length > 0 && {
      latency: percentiles(latencies),
      p50s: list.map(({ sample }) => percentiles(sample.latencies ?? []).p50),
      p99s: list.map(({ sample }) => percentiles(sample.latencies ?? []).p99),
    }),
    cpuMicrosPerOperation: median(cpuMicros),
    cpuMicros,
  };
}

/** Per-round ratios of two sides: only figures of one round are comparable. */
export function ratios(above: SideResult, below: SideResult): readonly number[] {
  return above.samples.map((value, round) => value / (below.samples[round] ?? Number.NaN));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** The same rounds judged by a percentile of what single operations took, ms. */
export function byLatency(sides: Measured['sides'], percentile: 'p50' | 'p99'): Measured['sides'] {
  const result: Partial<Record<SideName, SideResult>> = {};
  for (const [name, side] of Object.entries(sides) as [SideName, SideResult][]) {
    result[name] = { ...side, median: side.latency?.[percentile] ?? Number.NaN, samples: side[`${percentile}s`] ?? [] };
  }
  return result;
}

/** The same rounds judged by CPU time: operations per CPU second. */
export function byCpu(sides: Measured['sides']): Measured['sides'] {
  const result: Partial<Record<SideName, SideResult>> = {};
  for (const [name, side] of Object.entries(sides) as [SideName, SideResult][]) {
    const samples = (side.cpuMicros ?? []).map((micros) => 1e6 / micros);
    result[name] = { ...side, median: median(samples), samples };
  }
  return result;
}
