/** Wall clock in ms since the epoch. Engine code takes one instead of calling `Date.now`. */
export interface Clock {
  now(): number;
}

/** Timers, injected for the same reason: the simulation owns time. */
export interface Timers {
  /** Calls back once after `ms`; the returned function cancels it. */
  after(ms: number, callback: () => void): () => void;
}

/** Randomness for ids and seeds, injected so that runs can be repeated. */
export interface Ids {
  uuid(): string;
  /** `bytes` random bytes as lower-case hex. */
  hex(bytes: number): string;
}
