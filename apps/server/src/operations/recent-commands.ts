import type { Clock } from '#lib/platform';

/** Upper bounds of the latencies that are told apart, ms. */
const BOUNDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000] as const;
const SECONDS = 60;
/** Outcomes are codes of a catalogue; should that ever grow, the rest is one. */
const MAX_OUTCOMES = 50;

interface Second {
  second: number;
  readonly latencies: number[];
  readonly outcomes: Map<string, number>;
}

export interface RecentCommandsReport {
  /** What the figures are over; this process alone. */
  readonly overSeconds: number;
  readonly perSecond: number;
  /** Null while there were none. Upper bounds: within the next of 1, 2, 5, 10, 20, 50, … ms. */
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
  readonly outcomes: Readonly<Record<string, number>>;
}

/** Commands of the last minute, in bounded memory: for people who ask now. Prometheus keeps the history. */
export class RecentCommands {
  private readonly ring: Second[] = Array.from({ length: SECONDS }, () => ({ second: -1, latencies: [], outcomes: new Map() }));

  constructor(private readonly clock: Clock) {}

  note(outcome: string, ms: number): void {
    const second = Math.floor(this.clock.now() / 1_000);
    const slot = this.ring[second % SECONDS] as Second;
    if (slot.second !== second) {
      slot.second = second;
      slot.latencies.length = 0;
      slot.outcomes.clear();
    }
    const found = BOUNDS.findIndex((bound) => ms <= bound);
    const bucket = found < 0 ? BOUNDS.length - 1 : found;
    slot.latencies[bucket] = (slot.latencies[bucket] ?? 0) + 1;
    const name = slot.outcomes.has(outcome) || slot.outcomes.size < MAX_OUTCOMES ? outcome : 'other';
    slot.outcomes.set(name, (slot.outcomes.get(name) ?? 0) + 1);
  }

  report(): RecentCommandsReport {
    const oldest = Math.floor(this.clock.now() / 1_000) - SECONDS;
    const latencies = BOUNDS.map(() => 0);
    const outcomes: Record<string, number> = {};
    let count = 0;
    for (const slot of this.ring) {
      if (slot.second <= oldest) continue;
      slot.latencies.forEach((commands, bucket) => {
        latencies[bucket] = (latencies[bucket] ?? 0) + commands;
        count += commands;
      });
      for (const [outcome, commands] of slot.outcomes) outcomes[outcome] = (outcomes[outcome] ?? 0) + commands;
    }
    const quantile = (share: number): number | null => {
      if (count === 0) return null;
      let below = 0;
      return BOUNDS.find((_, bucket) => (below += latencies[bucket] ?? 0) >= share * count) ?? null;
    };
    const perSecond = Math.round((count / SECONDS) * 100) / 100;
    return { overSeconds: SECONDS, perSecond, p50Ms: quantile(0.5), p95Ms: quantile(0.95), p99Ms: quantile(0.99), outcomes };
  }
}
