import type { Clock } from '#lib/platform';

/** What does not work as it should, who it is, and what a person can do. */
export interface Degradation {
  /** `engine p3`, `projector p0`, `database`, … */
  readonly who: string;
  readonly why: string;
  readonly whatToDo: string;
  /** Ms since the epoch, if whoever tells of it knows. */
  readonly since?: number;
}
export type DatedDegradation = Degradation & { readonly since: number };

/** Remembers since when something has been degraded, as far as it was looked at. */
export class Degradations {
  private readonly firstSeen = new Map<string, number>();

  constructor(private readonly clock: Clock) {}

  /** All that is degraded now; what is not among them has ended. */
  dated(now: readonly Degradation[]): readonly DatedDegradation[] {
    const keys = new Set(now.map(({ who }) => who));
    for (const who of this.firstSeen.keys()) if (!keys.has(who)) this.firstSeen.delete(who);
    return now.map((one) => {
      const since = one.since ?? this.firstSeen.get(one.who) ?? this.clock.now();
      this.firstSeen.set(one.who, since);
      return { ...one, since };
    });
  }
}
