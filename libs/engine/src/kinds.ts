import {
  applyRecordedStory,
  authoringEvents,
  authoringShapes,
  storyAuthoring,
  storyStateFromJson,
  storyStateHash,
  type StoryCommand,
  type StoryEvent,
  type StoryStreamState,
} from '#lib/authoring';
import {
  applyRecordedCompliance,
  compliance,
  COMPLIANCE_STREAM,
  complianceEvents,
  complianceShapes,
  complianceStateFromJson,
  complianceStateHash,
  type ComplianceCommand,
  type ComplianceEvent,
  type ComplianceState,
} from '#lib/compliance';
import { upcast, type RecordedEvent } from '#lib/decision';
import {
  applyRecorded,
  dueTimeOut,
  playthrough,
  playthroughEvents,
  playthroughShapes,
  stateFromJson,
  stateHash,
  type PlaythroughCommand,
  type PlaythroughEvent,
  type PlaythroughState,
} from '#lib/playthrough';
import type { KindOf, PastNarrative, StreamKind } from './stream-kind.js';

/** `playthrough/<id>`. */
export const playthroughKind: StreamKind<PlaythroughState, PlaythroughCommand> = {
  name: 'playthrough',
  shapes: playthroughShapes,
  decide(command, state, { stream, actor, now, entropy, story, past }) {
    if (story === undefined) return { rejected: 'PLAYTHROUGH_NOT_FOUND', message: 'there is no such playthrough' };
    const playthroughId = stream.slice('playthrough/'.length);
    return playthrough.decide(command, state, {
      story,
      now,
      playthroughId,
      reader: actor.id,
      entropy,
      ...(past !== undefined && { past }),
    });
  },
  evolve: (state, events) =>
    events.reduce((next, event) => playthrough.evolve(next, upcast(event, playthroughEvents) as unknown as PlaythroughEvent), state),
  fold: (state, events) => events.reduce<PlaythroughState | null>((next, event) => applyRecorded(next, event), state),
  fromJson: stateFromJson,
  hash: stateHash,
  narrative: ({ narrative, storyId, versionHash, reader, seed, enteredAt }): PastNarrative => {
    return { narrative, draws: narrative.draws, storyId, versionHash, reader, seed, enteredAt };
  },
  lastAt: (state) => state.lastAt,
  turn: (state) => state?.turn ?? 0,
  turnOf: (events) => lastTurn(events),
  content: (command, state, past) => {
    if (state !== null) return state.versionHash;
    return command.type === 'start' ? command.versionHash : command.type === 'fork' ? past?.versionHash : undefined;
  },
  past(stream, command, state) {
    if (command.type === 'fork') return state === null ? { stream: `playthrough/${command.from}`, turn: command.atTurn } : undefined;
    if (command.type !== 'rewind' || state === null || command.turn !== state.turn || !(command.toTurn < state.turn)) return undefined;
    return { stream, turn: command.toTurn };
  },
  dueTimeOut,
  mayBeOlder(command, state) {
    if (command.type === 'setCheckpoint' || !('turn' in command)) return true;
    return state === null || command.turn < state.turn;
  },
  // Turns only grow, a playthrough begins once, and checkpoints stay.
  leavesNoTrace: () => false,
  isAhead: (command, state) => 'turn' in command && command.turn > (state?.turn ?? -1),
};

function lastTurn(events: readonly RecordedEvent[]): number {
  const event = events.at(-1) as unknown as PlaythroughEvent | undefined;
  if (event === undefined || event.type === 'PlaythroughStarted') return 0;
  return event.type === 'WhatIfForked' ? event.from.turn : event.turn;
}

/** No turns, no content, nothing past: a stream that nobody plays. */
const TURNLESS = {
  narrative: () => undefined,
  turn: () => 0,
  turnOf: () => 0,
  content: () => undefined,
  past: () => undefined,
  dueTimeOut: () => undefined,
  mayBeOlder: () => true,
  isAhead: () => false,
} as const;

/** `story/<id>` */
export const storyKind: StreamKind<StoryStreamState, StoryCommand> = {
  name: 'story',
  shapes: authoringShapes,
  decide: (command, state, { now }) => storyAuthoring.decide(command, state, { now }),
  evolve: (state, events) =>
    events.reduce((next, event) => storyAuthoring.evolve(next, upcast(event, authoringEvents) as unknown as StoryEvent), state),
  fold: (state, events) => events.reduce<StoryStreamState | null>((next, event) => applyRecordedStory(next, event), state),
  fromJson: storyStateFromJson,
  hash: storyStateHash,
  lastAt: (state) => state.lastAt,
  // Versions stay.
  leavesNoTrace: () => false,
  ...TURNLESS,
};

/** `compliance/main`, and no other of its type. */
export const complianceKind: StreamKind<ComplianceState, ComplianceCommand> = {
  name: 'compliance',
  shapes: complianceShapes,
  decide(command, state, { stream, actor, now }) {
    if (stream !== COMPLIANCE_STREAM) return { rejected: 'BAD_INPUT', message: `there is one compliance stream, ${COMPLIANCE_STREAM}` };
    return compliance.decide(command, state, { now, actor });
  },
  evolve: (state, events) =>
    events.reduce((next, event) => compliance.evolve(next, upcast(event, complianceEvents) as unknown as ComplianceEvent), state),
  fold: (state, events) => events.reduce<ComplianceState | null>((next, event) => applyRecordedCompliance(next, event), state),
  fromJson: complianceStateFromJson,
  hash: complianceStateHash,
  lastAt: (state) => state.lastAt,
  // The state holds what is open; what was decided, released or closed is gone from it.
  leavesNoTrace: ({ type }) => type === 'propose' || type === 'placeHold' || type === 'breakGlass',
  ...TURNLESS,
};

const kinds = new Map<string, StreamKind>([
  [playthroughKind.name, playthroughKind],
  [storyKind.name, storyKind],
  [complianceKind.name, complianceKind],
]);

export const kindOf: KindOf = (stream) => kinds.get(stream.slice(0, stream.indexOf('/')));
