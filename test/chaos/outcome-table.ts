import { isLong } from '../support/requirement.js';
import { countsOf } from './crowd.js';
import type { Fault, History } from './history.js';
import type { LogTruth } from './log-truth.js';

/** What a fault cut off, read from the log afterwards. */
export interface CutOff {
  readonly what: string;
  /** Commands sent and not answered at that moment. */
  readonly inFlight: number;
  /** Of these: in the log at that moment or before it, although nobody had been told; the append or its answer was under way. */
  readonly storedUnanswered: number;
  /** Of these: not in the log at that moment. */
  readonly notStored: number;
}

export function cutOffs(history: History, truth: LogTruth): readonly CutOff[] {
  const storedAt = new Map<string, number>();
  for (const entries of truth.playthroughs.values())
    for (const { commandId, payload, time } of entries) storedAt.set(`${commandId} ${payload}`, time);
  return history.faults.map((fault: Fault) => {
    const open = new Set<string>();
    for (const { commandId, payload, sentAt, endedAt, saw } of history.attempts) {
      // Who was told a moment later by the very connection was not cut off.
      if (sentAt <= fault.at && endedAt >= fault.at && saw.kind === 'unknown') open.add(`${commandId} ${payload}`);
    }
    const storedUnanswered = [...open].filter((key) => (storedAt.get(key) ?? Infinity) <= fault.wall).length;
    return { what: fault.what, inFlight: open.size, storedUnanswered, notStored: open.size - storedUnanswered };
  });
}

/** Turns that were accepted in the log after the last fault. */
export function turnsAfterLastFault({ faults }: History, truth: LogTruth): number {
  const last = Math.max(0, ...faults.map(({ wall }) => wall));
  let turns = 0;
  for (const entries of truth.playthroughs.values()) for (const { time } of entries) if (time > last) turns++;
  return turns;
}

/** Longest time between two moments of the clients' clock in which no turn was accepted, ms. */
export function longestGap({ attempts }: History, from: number, to: number): number {
  const accepted: number[] = [];
  for (const { saw, payload, endedAt } of attempts) {
    const turn = saw.kind === 'accepted' && !saw.duplicate && /^(?:choose|rewind)/.test(payload);
    if (turn && endedAt > from && endedAt < to) accepted.push(endedAt);
  }
  let longest = 0;
  let last = from;
  for (const at of [...accepted.toSorted((a, b) => a - b), to]) {
    longest = Math.max(longest, at - last);
    last = at;
  }
  return Math.round(longest);
}

/** A row in full size must have seen enough of what it claims to test; a short one at least some of it. */
export function notEnough(history: History, wanted: { readonly turns: number; readonly outcomes: readonly string[] }): string[] {
  const [turns, each] = isLong ? [wanted.turns, 100] : [Math.ceil(wanted.turns / 50), 1];
  const missing: string[] = [];
  if (history.acceptedTurns < turns) missing.push(`${history.acceptedTurns} accepted turns, ${turns} are needed`);
  for (const outcome of wanted.outcomes) {
    if (history.of(outcome) < each) missing.push(`"${outcome}" ${history.of(outcome)} times, ${each} are needed (${countsOf(history)})`);
  }
  return missing;
}
