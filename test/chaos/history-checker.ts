import { WINDOW_SIZE } from '#lib/decision';
import type { Attempt, Sighting } from './history.js';

/** An accepted record of the log. */
export interface LogEntry {
  readonly stream: string;
  readonly commandId: string;
  readonly payload: string;
  readonly partition: number;
  readonly offset: number;
  /** Log time, ms since the epoch. */
  readonly time: number;
  readonly version: { readonly before: number; readonly after: number };
  /** `before` is -1 for the record that begins the playthrough. */
  readonly turn: { readonly before: number; readonly after: number };
  /** Of the state after it. */
  readonly stateHash: string;
}

export interface CheckedHistory {
  readonly attempts: readonly Attempt[];
  readonly sightings: readonly Sighting[];
}

/** What one command went through, all its tries together. */
interface Command {
  readonly commandId: string;
  readonly payload: string;
  firstSentAt: number;
  firstAckAt: number;
  acknowledged: boolean;
  /** Some try may have had an effect that nobody told. */
  maybe: boolean;
  /** The answer that settled that it has no effect, whatever other tries met. */
  settled: string | undefined;
}

const MOST_REPORTED = 50;

/**
 * Compares what clients saw with what the log holds (reference: Jepsen-style histories per playthrough, without a search, in O(n log n)):
 * versions and turns are dense, each acknowledgement is in the log with the same payload, turn, position and state; nothing took effect
 * twice; what was refused is absent, what is unknown is there zero or one time; the order of real time is kept within a playthrough.
 * Answers what is violated; empty is good.
 * @param streams accepted records by stream, in the order of the log
 */
export function checkHistory(history: CheckedHistory, streams: ReadonlyMap<string, readonly LogEntry[]>): string[] {
  const wrong = new Report();
  const byCommand = new Map<string, LogEntry[]>();
  for (const [stream, entries] of streams) {
    checkChain(stream, entries, wrong);
    for (const entry of entries) byCommand.set(entry.commandId, [...(byCommand.get(entry.commandId) ?? []), entry]);
  }
  for (const [commandId, entries] of byCommand) if (entries.length > 1) checkRepeated(commandId, entries, streams, wrong);
  const commands = new Map<string, Command>();
  for (const attempt of history.attempts) {
    const key = `${attempt.commandId} ${attempt.payload}`;
    const command = commands.get(key) ?? begun(attempt);
    commands.set(key, command);
    checkAttempt(attempt, command, byCommand, wrong);
  }
  for (const command of commands.values()) checkCommand(command, byCommand, wrong);
  for (const [stream, entries] of streams) checkRealTime(stream, entries, commands, wrong);
  checkSightings(history.sightings, streams, wrong);
  return wrong.list();
}

class Report {
  private readonly found: string[] = [];
  private more = 0;

  add(what: string): void {
    if (this.found.length < MOST_REPORTED) this.found.push(what);
    else this.more++;
  }
  list(): string[] {
    return this.more === 0 ? this.found : [...this.found, `and ${this.more} more`];
  }
}

const place = ({ partition, offset }: LogEntry): string => `p${partition}@${offset}`;

function begun({ commandId, payload, sentAt }: Attempt): Command {
  return {
    commandId,
    payload,
    firstSentAt: sentAt,
    firstAckAt: Infinity,
    acknowledged: false,
    maybe: false,
    settled: undefined,
  };
}

function checkChain(stream: string, entries: readonly LogEntry[], wrong: Report): void {
  let version = 0;
  let turn = -1;
  let last: LogEntry | undefined;
  for (const entry of entries) {
    const at = `${stream} at ${place(entry)}`;
    if (entry.version.before !== version) wrong.add(`${at}: decided on version ${entry.version.before}, the stream had ${version}`);
    if (entry.turn.before !== turn) wrong.add(`${at}: taken on turn ${entry.turn.before}, the playthrough was on ${turn}`);
    const moves = /^(?:choose|rewind|time-out) /.test(entry.payload);
    // A what-if begins at the turn it was forked at.
    if (last !== undefined && entry.turn.after !== turn + (moves ? 1 : 0)) {
      wrong.add(`${at}: ${entry.payload} led from turn ${turn} to ${entry.turn.after}`);
    }
    if (last !== undefined && (entry.partition !== last.partition || entry.offset <= last.offset)) {
      wrong.add(`${at}: stands behind ${place(last)}`);
    }
    version = entry.version.after;
    turn = entry.turn.after;
    last = entry;
  }
}

/**
 * An id must not take effect twice. For another command it may: on another stream (a what-if's own), or once it is older than a stream's
 * window. `admit` looks into the window of one stream and no further.
 */
function checkRepeated(
  commandId: string,
  entries: readonly LogEntry[],
  streams: ReadonlyMap<string, readonly LogEntry[]>,
  wrong: Report,
): void {
  for (const [i, entry] of entries.entries()) {
    for (const other of entries.slice(i + 1)) {
      const stream = streams.get(entry.stream) ?? [];
      const elsewhere = entry.stream !== other.stream || stream.indexOf(other) - stream.indexOf(entry) > WINDOW_SIZE;
      if (entry.payload !== other.payload && elsewhere) continue;
      wrong.add(`${commandId} took effect ${entries.length} times: at ${place(entry)} and ${place(other)}`);
    }
  }
}

function checkAttempt(attempt: Attempt, command: Command, byCommand: ReadonlyMap<string, readonly LogEntry[]>, wrong: Report): void {
  const { saw, commandId, payload } = attempt;
  command.firstSentAt = Math.min(command.firstSentAt, attempt.sentAt);
  switch (saw.kind) {
    case 'unknown':
      command.maybe = true;
      return;
    case 'no-effect':
      return;
    case 'refused': {
      // A later turn than asked for: an earlier try can have no effect any more. (An earlier turn: it may yet come.)
      if (saw.code === 'TURN_STALE' && attempt.turn !== undefined && (saw.turnNow ?? -1) > attempt.turn) command.settled = saw.code;
      if (saw.code === 'COMMAND_REUSED') {
        command.settled = saw.code;
        if (!(byCommand.get(commandId) ?? []).some((entry) => entry.payload !== payload)) {
          wrong.add(`${commandId} (${payload}) was answered COMMAND_REUSED, but nothing else used it`);
        }
      }
      return;
    }
    case 'accepted': {
      command.acknowledged = true;
      command.firstAckAt = Math.min(command.firstAckAt, attempt.endedAt);
      const known = byCommand.get(commandId) ?? [];
      const entry = known.find((one) => one.payload === payload) ?? known[0];
      const name = `${payload} (${commandId})`;
      if (entry === undefined)
        return wrong.add(`${name} was acknowledged at p${saw.partition}@${saw.offset}, but the log does not have it`);
      if (entry.payload !== payload) wrong.add(`${name} was acknowledged, but the log has "${entry.payload}" under its id`);
      if (entry.stream !== saw.stream) wrong.add(`${name} was acknowledged on ${saw.stream}, it is on ${entry.stream}`);
      if (entry.partition !== saw.partition || entry.offset !== saw.offset)
        wrong.add(`${name} was acknowledged at p${saw.partition}@${saw.offset}, it stands at ${place(entry)}`);
      if (entry.turn.after !== saw.turn) wrong.add(`${name} was acknowledged as turn ${saw.turn}, it led to turn ${entry.turn.after}`);
      if (!saw.duplicate && entry.stateHash !== saw.stateHash)
        wrong.add(`${name} was acknowledged with another state than the log leads to`);
      return;
    }
  }
}

function checkCommand(command: Command, byCommand: ReadonlyMap<string, readonly LogEntry[]>, wrong: Report): void {
  const entry = byCommand.get(command.commandId)?.find(({ payload }) => payload === command.payload);
  if (entry === undefined || command.acknowledged) return;
  const name = `${command.payload} (${command.commandId})`;
  if (command.settled !== undefined) wrong.add(`${name} was answered ${command.settled}, but it took effect at ${place(entry)}`);
  else if (!command.maybe) wrong.add(`${name}: every answer said that nothing happened, but it took effect at ${place(entry)}`);
}

/** Who was answered before another was sent comes before it: walked from the end, the earliest answer among all later records is enough. */
function checkRealTime(stream: string, entries: readonly LogEntry[], commands: ReadonlyMap<string, Command>, wrong: Report): void {
  let earliest = { ackAt: Infinity, name: '' };
  for (const entry of entries.toReversed()) {
    const command = commands.get(`${entry.commandId} ${entry.payload}`);
    if (command === undefined) continue;
    const name = `${entry.payload} (${entry.commandId}) at ${place(entry)}`;
    if (earliest.ackAt < command.firstSentAt) {
      wrong.add(`${stream}: ${name} stands before ${earliest.name}, which was acknowledged before it was sent`);
    }
    if (command.firstAckAt < earliest.ackAt) earliest = { ackAt: command.firstAckAt, name };
  }
}

function checkSightings(sightings: readonly Sighting[], streams: ReadonlyMap<string, readonly LogEntry[]>, wrong: Report): void {
  const shown = new Set<string>();
  for (const [stream, entries] of streams) for (const { turn, stateHash } of entries) shown.add(`${stream} ${turn.after} ${stateHash}`);
  for (const { stream, turn, stateHash } of sightings) {
    if (!shown.has(`${stream} ${turn} ${stateHash}`)) wrong.add(`${stream} was shown on turn ${turn} in a state that the log never had`);
  }
}
