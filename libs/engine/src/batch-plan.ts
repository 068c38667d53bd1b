import {
  admit,
  commandDigest,
  encodeRecord,
  eventProblem,
  isRejection,
  MalformedEvent,
  recordProblem,
  RecordTooLarge,
  WINDOW_SIZE,
  type AcceptedCommand,
  type Actor,
  type DecisionRecord,
  type EventShapes,
  type RecordedEvent,
  type Rejection,
  type StreamHead,
} from '#lib/decision';
import { sha256Hex, type Json } from '#lib/canonical';
import type { LogRecord, Offset } from '#lib/log';
import type { Clock, Ids } from '#lib/platform';
import type { CompiledStory } from '#lib/story';
import { commandReused, EngineFailure } from './engine-failure.js';
import type { HotStream } from './hot-set.js';
import type { EngineLimits } from './limits.js';
import type { PendingCommand } from './pending-command.js';
import type { PastNeed, StreamCommand, StreamState } from './stream-kind.js';

export const SYSTEM: Actor = { id: 'system', role: 'system' };

/** A decision on its way to the log, with what the stream will be if it is accepted at the offset foreseen. */
export interface PlannedRecord {
  /** Null: a time-out that another command found due. */
  readonly command: PendingCommand | null;
  readonly hot: HotStream;
  readonly log: LogRecord;
  readonly record: DecisionRecord;
  readonly digest: string;
  readonly offset: Offset;
  readonly head: StreamHead;
  readonly state: StreamState | null;
}

/** An answer that is true only if the batch's records of its stream are accepted. */
export type Dependent = { readonly command: PendingCommand; readonly hot: HotStream } & (
  | { readonly kind: 'rejected'; readonly rejection: Rejection; readonly state: StreamState | null }
  /** The effect is there already: the batch may be what brings it. */
  | { readonly kind: 'nothing'; readonly state: StreamState }
  /** The same command again, or another one under its id. */
  | { readonly kind: 'echo'; readonly of: PlannedRecord }
  | { readonly kind: 'reused' }
);

/** What became of adding one command. */
export type Step =
  | { readonly kind: 'planned' }
  /** The batch cannot take it any more: it opens the next one. */
  | { readonly kind: 'full' }
  | { readonly kind: 'duplicate'; readonly first: AcceptedCommand }
  | { readonly kind: 'nothing'; readonly state: StreamState }
  | { readonly kind: 'rejected'; readonly rejection: Rejection; readonly state: StreamState | null }
  | { readonly kind: 'failed'; readonly failure: EngineFailure }
  | { readonly kind: 'needs-content'; readonly hash: string }
  | { readonly kind: 'needs-past'; readonly past: PastNeed }
  | { readonly kind: 'needs-search' }
  | { readonly kind: 'needs-tail' };

export interface PlanContext {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly limits: EngineLimits;
  story(hash: string): CompiledStory | undefined;
}

/** Whose decision it is: the caller's, or the system's time-out found on the way. */
interface DecidedAs {
  readonly commandId: string;
  readonly digest: string;
  readonly actor: Actor;
  readonly now: number;
  readonly system?: true;
}

const PLANNED: Step = { kind: 'planned' };
const FULL: Step = { kind: 'full' };

/** The digest of a system command: its derived id says all there is to say, so sweeper, late commands and other nodes mean the same one. */
export const systemDigestInput = (commandId: string): Json => ({ commandId });

/**
 * One batch: commands decided in order, each against the state that the former ones of the batch lead to. Nothing here is true
 * until the log has given the batch its place.
 */
export class BatchPlan {
  readonly records: PlannedRecord[] = [];
  readonly dependents: Dependent[] = [];
  private bytes = 0;
  /** The last planned record of each stream. */
  private readonly latest = new Map<HotStream, PlannedRecord>();

  constructor(
    private readonly base: Offset,
    private readonly context: PlanContext,
  ) {}

  add(command: PendingCommand, hot: HotStream): Step {
    const { request, kind } = command;
    const head = this.latest.get(hot)?.head ?? hot.head;
    const first = head.window.find((accepted) => accepted.commandId === request.commandId);
    if (first !== undefined) return this.repeated(command, hot, first);
    if (kind.leavesNoTrace(request.command) && mayBeForgotten(head, command)) return { kind: 'needs-search' };

    // A timed choice that is due comes first: the late command then meets the next turn.
    const now = this.now(hot);
    if (request.command.type !== 'timeOut') {
      const due = kind.dueTimeOut(this.stateOf(hot), now);
      if (due !== undefined) {
        const as = {
          commandId: due.commandId,
          digest: commandDigest(systemDigestInput(due.commandId), SYSTEM),
          actor: SYSTEM,
          now,
          system: true,
        } as const;
        const step = this.decide(command, hot, due.command, as);
        if (step !== PLANNED) return step;
      }
    }

    const state = this.stateOf(hot);
    if (command.tail !== 'read' && kind.isAhead(request.command, state)) return { kind: 'needs-tail' };
    const past = kind.past(request.stream, request.command, state);
    if (past !== undefined && command.past === undefined) return { kind: 'needs-past', past };
    return this.decide(command, hot, request.command, { commandId: request.commandId, digest: command.digest, actor: request.actor, now });
  }

  /** The state that the batch leads to so far. */
  private stateOf(hot: HotStream): StreamState | null {
    const planned = this.latest.get(hot);
    return planned === undefined ? hot.state : planned.state;
  }

  private now(hot: HotStream): number {
    const state = this.stateOf(hot);
    const clock = this.context.clock.now();
    return state === null ? clock : Math.max(clock, hot.kind.lastAt(state));
  }

  private repeated(command: PendingCommand, hot: HotStream, first: AcceptedCommand): Step {
    const reused = first.commandDigest !== command.digest;
    if (first.offset < this.base) return reused ? { kind: 'failed', failure: commandReused() } : { kind: 'duplicate', first };
    const of = this.records[first.offset - this.base];
    if (of === undefined || of.hot !== hot) throw new Error('a planned command has no record in its batch');
    this.dependents.push(reused ? { kind: 'reused', command, hot } : { kind: 'echo', command, hot, of });
    return PLANNED;
  }

  private decide(pending: PendingCommand, hot: HotStream, command: StreamCommand, as: DecidedAs): Step {
    const { kind, stream } = hot;
    const state = this.stateOf(hot);
    const past = pending.past ?? undefined;
    const hash = kind.content(command, state, past);
    const story = hash === undefined ? undefined : (this.context.story(hash) ?? pending.storyOf(hash));
    if (hash !== undefined && story === undefined) return { kind: 'needs-content', hash };

    const known = { ...(story !== undefined && { story }), ...(past !== undefined && { past }) };
    const decision = kind.decide(command, state, { stream, actor: as.actor, now: as.now, entropy: this.context.ids.hex(16), ...known });
    if (isRejection(decision)) {
      // A time-out that is refused (a fault in the story) must not keep the reader from choosing.
      if (as.system) return PLANNED;
      if (!this.latest.has(hot)) return { kind: 'rejected', rejection: decision, state };
      this.dependents.push({ kind: 'rejected', command: pending, hot, rejection: decision, state });
      return PLANNED;
    }
    if (decision.length === 0) {
      if (state === null) throw new Error(`nothing was decided on the empty stream ${stream}`);
      if (!this.latest.has(hot)) return { kind: 'nothing', state };
      this.dependents.push({ kind: 'nothing', command: pending, hot, state });
      return PLANNED;
    }
    return this.plan(pending, hot, decision, as);
  }

  private plan(pending: PendingCommand, hot: HotStream, events: readonly RecordedEvent[], as: DecidedAs): Step {
    const { limits } = this.context;
    if (this.records.length >= limits.batchRecords) return FULL;
    const { request } = pending;
    const head = this.latest.get(hot)?.head ?? hot.head;
    // Keys in canonical order: writing it then sorts nothing.
    const record: DecisionRecord = {
      actor: as.actor,
      at: as.now,
      causationId: as.system ? request.commandId : request.causationId,
      commandDigest: as.digest,
      commandId: as.commandId,
      correlationId: request.correlationId,
      eventCount: events.length,
      events,
      expectedVersion: head.version,
      previous: head.previous,
      stream: hot.stream,
      v: 1,
    };
    let value: Uint8Array;
    try {
      value = encodeRecord(record);
    } catch (error) {
      if (!(error instanceof RecordTooLarge)) throw error;
      return { kind: 'failed', failure: new EngineFailure('TOO_LARGE', error.message, { cause: error }) };
    }
    checkShape(record, hot.kind.shapes);
    const size = value.length + overhead(hot.stream, request.headers);
    if (this.records.length > 0 && this.bytes + size > limits.batchBytes) return FULL;

    const digest = sha256Hex(value);
    const offset = this.base + this.records.length;
    const admission = admit(head, record, digest, offset);
    if (admission.verdict !== 'accepted') throw new Error(`a record decided on its own head was not accepted but ${admission.verdict}`);
    const log: LogRecord = { key: hot.stream, value, ...(request.headers !== undefined && { headers: request.headers }) };
    const state = hot.kind.evolve(this.stateOf(hot), events);
    const planned = { command: as.system ? null : pending, hot, log, record, digest, offset, head: admission.head, state };
    this.records.push(planned);
    this.latest.set(hot, planned);
    this.bytes += size;
    return PLANNED;
  }
}

/** What is once in the log stays there for every reader: this is the last place where a defect of ours costs one command only. */
function checkShape(record: DecisionRecord, shapes: EventShapes): void {
  let problem = recordProblem(record);
  for (const event of record.events) problem ??= eventProblem(event, shapes);
  if (problem !== undefined) throw new MalformedEvent(problem);
}

/** What the log counts beside the value. */
function overhead(key: string, headers: Readonly<Record<string, string>> | undefined): number {
  let bytes = key.length;
  for (const name in headers) bytes += 3 * (name.length + (headers[name] as string).length);
  return bytes;
}

/** Whether it may have been accepted before the head's window, as far as nobody has looked. */
function mayBeForgotten({ window }: StreamHead, { soughtTo }: PendingCommand): boolean {
  const [oldest] = window;
  return oldest !== undefined && window.length >= WINDOW_SIZE && (soughtTo === undefined || oldest.offset > soughtTo);
}
