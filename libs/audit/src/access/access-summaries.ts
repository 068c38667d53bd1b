import type { Access, AccessEvent } from './access-entry.js';

/** Ways to act that are told apart within one interval; what comes beyond is counted by event alone. */
export const MAX_SUMMARIES = 10_000;
/** Action and outcome of the rows that count what no longer fits. */
export const OTHERS = '(others)';

interface Counted {
  readonly first: Access;
  count: number;
  to: number;
}

/**
 * How often the same was done by the same within an interval: what readers do with their own, and what strangers try, would otherwise
 * let anybody fill the log. Bounded: at most `most` rows and one more per event.
 */
export class AccessSummaries {
  private rows = new Map<string, Counted>();
  private others = new Map<AccessEvent, Counted>();

  /** @param byTree tells the trees apart that were read (`target.log`): for names that were checked, or anybody could fill it */
  constructor(
    private readonly most = MAX_SUMMARIES,
    private readonly byTree = false,
  ) {}

  /** What is counted together has one. */
  keyOf({ event, actor, action, outcome, target }: Access): string {
    return JSON.stringify([event, actor, action, outcome, ...(this.byTree ? [target?.['log'] ?? null] : [])]);
  }

  get size(): number {
    return this.rows.size + this.others.size;
  }

  /** True when this is the first of its kind since `take`. */
  add(access: Access, times: { readonly count: number; readonly to: number } = { count: 1, to: access.at }): boolean {
    const key = this.keyOf(access);
    const known = this.rows.get(key);
    if (known !== undefined) return count(known, times);
    const row = { first: access, ...times };
    if (this.rows.size < this.most) {
      this.rows.set(key, row);
      return true;
    }
    const other = this.others.get(access.event);
    if (other !== undefined) return count(other, times);
    // Who and what is no longer known of these; that they were is.
    this.others.set(access.event, {
      ...row,
      first: { event: access.event, at: access.at, actor: null, roles: [], action: OTHERS, outcome: OTHERS, correlationId: null },
    });
    return false;
  }

  /** As if it had never been added. */
  drop(access: Access): void {
    this.rows.delete(this.keyOf(access));
  }

  /** Everything counted so far, as entries to be written at `at`; begins anew. */
  take(at: number): readonly Access[] {
    const rows = [...this.rows.values(), ...this.others.values()];
    this.rows = new Map();
    this.others = new Map();
    return rows
      .filter(({ count: many }) => many > 0)
      .map(({ first: { correlationId, target, stream: _same, ...first }, count: many, to }) => ({
        ...first,
        ...(this.byTree && target?.['log'] !== undefined ? { target: { log: target['log'] } } : {}),
        at,
        // Of many, each with its own; of one it is what leads to the rest.
        correlationId: many === 1 ? correlationId : null,
        times: { count: many, from: first.at, to },
      }));
  }

  /** Puts back what could not be written: it is counted on. */
  putBack(taken: readonly Access[]): void {
    for (const { times, ...access } of taken)
      if (times !== undefined) this.add({ ...access, at: times.from }, { count: times.count, to: times.to });
  }
}

function count(row: Counted, { count: more, to }: { readonly count: number; readonly to: number }): false {
  row.count += more;
  row.to = Math.max(row.to, to);
  return false;
}
