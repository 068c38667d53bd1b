import type { Actor, EventShapes, RecordedEvent, Rejection, StreamId } from '#lib/decision';
import type { StoryCommand, StoryStreamState } from '#lib/authoring';
import type { ComplianceCommand, ComplianceState } from '#lib/compliance';
import type { PlaythroughCommand, PlaythroughContext, PlaythroughState } from '#lib/playthrough';
import type { CompiledStory } from '#lib/story';

export type StreamState = PlaythroughState | StoryStreamState | ComplianceState;
export type StreamCommand = PlaythroughCommand | StoryCommand | ComplianceCommand;
export type PastNarrative = NonNullable<PlaythroughContext['past']>;

/** What a decision may know; everything asynchronous was fetched before. */
export interface DecideContext {
  readonly stream: StreamId;
  readonly actor: Actor;
  /** max(clock, the stream's last `at`). */
  readonly now: number;
  /** 32 hex characters. */
  readonly entropy: string;
  readonly story?: CompiledStory;
  readonly past?: PastNarrative;
}

/** A turn of a playthrough that must be fetched before the command can be decided. */
export interface PastNeed {
  readonly stream: StreamId;
  readonly turn: number;
}

/** A stream type as the engine sees it: pure functions around its decider. Writers know nothing else of playthroughs and stories. */
export interface StreamKind<State extends StreamState = StreamState, Command extends StreamCommand = StreamCommand> {
  /** The stream id's first part. */
  readonly name: string;
  /** What its events look like: an event that differs is never appended. */
  readonly shapes: EventShapes;
  decide(command: Command, state: State | null, context: DecideContext): readonly RecordedEvent[] | Rejection;
  /** @throws UnknownEvent, or an error when the events do not lead to the state hash they carry. */
  fold(state: State | null, events: readonly RecordedEvent[]): State | null;
  /** The state after events just decided: nothing to check. */
  evolve(state: State | null, events: readonly RecordedEvent[]): State | null;
  fromJson(text: string): State;
  hash(state: State): string;
  /** What a rewind or a fork takes from a past state. */
  narrative(state: State): PastNarrative | undefined;
  lastAt(state: State): number;
  /** Turn (playthrough) after these events; 0 for streams without turns. */
  turnOf(events: readonly RecordedEvent[]): number;
  turn(state: State | null): number;
  /** Content hash of the story that deciding needs. */
  content(command: Command, state: State | null, past: PastNarrative | undefined): string | undefined;
  past(stream: StreamId, command: Command, state: State | null): PastNeed | undefined;
  /** The timed choice that is due and must be taken before anything else. */
  dueTimeOut(state: State | null, now: number): { readonly command: Command; readonly commandId: string } | undefined;
  /** Whether this command, just rejected, may have been accepted before the head's window began. */
  mayBeOlder(command: Command, state: State | null): boolean;
  /** Once its effect is over, nothing in the state tells that this command had it: a retry must be looked for behind the head's window. */
  leavesNoTrace(command: Command): boolean;
  /** The command's turn lies ahead of the state: another writer has been here. */
  isAhead(command: Command, state: State | null): boolean;
}

export type KindOf = (stream: StreamId) => StreamKind | undefined;
