import type { CommandOutcome, CommandRequest } from '#lib/engine';

/** One try of one command, as its client saw it. */
export type Try =
  | { readonly request: CommandRequest; readonly saw: 'outcome'; readonly outcome: CommandOutcome }
  /** `noEffect`: the server said that nothing happened. */
  | { readonly request: CommandRequest; readonly saw: 'failure'; readonly code: string; readonly noEffect: boolean }
  /** No answer in time: the outcome is unknown. */
  | { readonly request: CommandRequest; readonly saw: 'nothing' };

/** Everything that clients saw, and counts of everything that happened: a run that tests nothing must not look like a success. */
export class History {
  readonly tries: Try[] = [];
  readonly counts = new Map<string, number>();

  add(one: Try): void {
    this.tries.push(one);
    if (one.saw === 'failure') this.count(`answered ${one.code}`);
    else if (one.saw === 'nothing') this.count('answered nothing');
    else if (one.outcome.kind === 'rejected') this.count(`rejected ${one.outcome.code}`);
    else this.count(one.outcome.duplicate ? 'accepted duplicate' : 'accepted');
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }
}
