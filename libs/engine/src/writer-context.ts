import type { EventLog, Releases } from '#lib/log';
import type { Clock, Ids, Timers } from '#lib/platform';
import type { BreakerState } from './circuit-breaker.js';
import type { ColdSource } from './cold-source.js';
import type { ContentCache } from './content-cache.js';
import type { EngineLimits } from './limits.js';
import type { Change } from './partition-state.js';
import type { KindOf } from './stream-kind.js';

/** What all writers of a process share: the ports, the compiled stories, the bounds. */
export interface WriterContext {
  readonly log: EventLog;
  readonly cold: ColdSource;
  readonly releases: Releases;
  readonly content: ContentCache;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly ids: Ids;
  readonly limits: EngineLimits;
  readonly kindOf: KindOf;
  onChange(change: Change): void;
  onMetric(name: string, value: number): void;
  onAlarm(message: string): void;
}

export interface WriterStats {
  readonly partition: number;
  /** Commands not answered yet. */
  readonly pending: number;
  readonly hotStreams: number;
  /** Estimates, as the caps count them. */
  readonly hotBytes: number;
  readonly tailBytes: number;
  /** Next offset that the writer has not seen. */
  readonly next: number;
  readonly breaker: BreakerState;
  /** When the breaker opened, ms since the epoch; null while it is closed. */
  readonly breakerSince: number | null;
}
