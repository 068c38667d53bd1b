import type { Clock, Ids } from '#lib/platform';
import type { EngineLimits } from './limits.js';

export type BreakerState = 'closed' | 'half-open' | 'open';

/**
 * Whether it makes sense to wait for the log of one partition. It opens when appends fail one after the other, or when one hangs; from then
 * on commands are refused at once and nobody waits for a deadline. What closes it is an append that succeeds: the batch of unknown outcome
 * that is sent again and again, or, when there is none, a single command let through after a pause.
 */
export class CircuitBreaker {
  private failures = 0;
  private openedAt: number | undefined;
  private probeAt = 0;
  private appendingSince: number | undefined;
  private uncertain = false;

  constructor(
    private readonly clock: Clock,
    private readonly ids: Ids,
    private readonly limits: Pick<EngineLimits, 'breakerFailures' | 'breakerStallMs' | 'breakerPauseMs'>,
    private readonly onOpened: () => void,
  ) {}

  get state(): BreakerState {
    if (this.openedAt === undefined) return 'closed';
    // While a batch is on its way, it is the probe.
    return this.appendingSince === undefined && this.clock.now() >= this.probeAt ? 'half-open' : 'open';
  }

  /** When it opened, ms since the epoch. */
  get since(): number | undefined {
    return this.openedAt;
  }

  /** The log does not answer as it should just now, even if the breaker is still closed. */
  get troubled(): boolean {
    return this.openedAt !== undefined || this.uncertain || this.hangsFor(this.limits.breakerStallMs / 10);
  }

  /** A batch sets out; it may take several tries. */
  appending(): void {
    this.appendingSince = this.clock.now();
  }

  /** One try failed. `uncertain`: the batch is not done with, its bytes are sent again. */
  failed(uncertain: boolean): void {
    this.failures++;
    this.uncertain = uncertain;
    if (!uncertain) this.appendingSince = undefined;
    if (this.failures >= this.limits.breakerFailures) this.open();
    if (this.openedAt !== undefined) this.pause();
  }

  succeeded(): void {
    this.failures = 0;
    this.uncertain = false;
    this.openedAt = undefined;
    this.appendingSince = undefined;
  }

  /** The batch ended without saying anything about the log's health (it refused these bytes, or the writer stops). */
  ended(): void {
    this.uncertain = false;
    this.appendingSince = undefined;
  }

  /** Opens when the append under way hangs; to be called now and then. */
  look(): void {
    if (this.hangsFor(this.limits.breakerStallMs)) this.open();
  }

  private hangsFor(ms: number): boolean {
    return this.appendingSince !== undefined && this.clock.now() - this.appendingSince >= ms;
  }

  private open(): void {
    if (this.openedAt !== undefined) return;
    this.openedAt = this.clock.now();
    this.pause();
    this.onOpened();
  }

  /** Partitions that opened together must not probe together. */
  private pause(): void {
    const { breakerPauseMs } = this.limits;
    this.probeAt = this.clock.now() + breakerPauseMs + (Number.parseInt(this.ids.hex(2), 16) % breakerPauseMs);
  }
}
