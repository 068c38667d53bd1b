import { upcast, type Rejection } from '#lib/decision';
import type { CompiledStory, Value } from '#lib/story';
import { inputProblem, seedOf } from './command-input.js';
import { EffectRun, StoryFault } from './effects.js';
import { playthroughEvents } from './event-catalogue.js';
import { counted, evolve } from './evolve.js';
import { move, passageOf, scopeOf, type Taken } from './moves.js';
import { deadlineOf, offersOf } from './offers.js';
import type { PlaythroughCommand, PlaythroughContext, PlaythroughRejectionCode } from './playthrough-commands.js';
import type { PlaythroughEvent } from './playthrough-events.js';
import { forkedSeed } from './playthrough-ids.js';
import { MAX_CHECKPOINTS, MAX_STATE_BYTES, type NarrativeState, type PlaythroughState } from './playthrough-state.js';
import { badInput, ended, notFound, Refused, stale } from './refusal.js';
import { jsonHash, stateToJson } from './state-json.js';

type Command<Type extends PlaythroughCommand['type']> = Extract<PlaythroughCommand, { type: Type }>;
type Unhashed<E extends PlaythroughEvent = PlaythroughEvent> = E extends PlaythroughEvent ? Omit<E, 'stateHash'> : never;
type Decision = readonly PlaythroughEvent[] | Rejection<PlaythroughRejectionCode>;

/** A record holds 128 KiB with its envelope; a move whose events need more is refused here, where it can be said clearly. */
const MAX_EVENTS_BYTES = 120 * 1024;
/** Upper bounds of one offer (ids of 130 and guards of 200 UTF-16 units, escaped) and one draw (id of 256, an enum's member) in a record. */
const MAX_OFFER_BYTES = 2_100;
const MAX_DRAW_BYTES = 2_400;
/** A member of an enum or set, of 120 UTF-16 units, or a variable's name. */
const MAX_MEMBER_BYTES = 400;

/**
 * What a command does to a playthrough: events, or why not. Pure and total, whatever the command is. An empty list means that the
 * command's effect is there already (the same checkpoint again): success, with nothing to record.
 */
export function decide(command: PlaythroughCommand, state: PlaythroughState | null, context: PlaythroughContext): Decision {
  const problem = inputProblem(command);
  if (problem !== undefined) return { rejected: 'BAD_INPUT', message: problem.message, details: { field: problem.field } };
  try {
    return withHashes(state, decided(command, state, context));
  } catch (error) {
    if (error instanceof Refused) return error.rejection;
    if (error instanceof StoryFault) return { rejected: 'STORY_FAULT', message: error.message };
    throw error;
  }
}

function decided(command: PlaythroughCommand, state: PlaythroughState | null, context: PlaythroughContext): readonly Unhashed[] {
  if (state !== null && command.type !== 'timeOut' && state.reader !== context.reader) throw notFound();
  if (command.type === 'start' || command.type === 'fork') {
    // The id derives from the command, so this is an old retry: the turn check sends it to where its first answer is found.
    if (state !== null) throw stale(state);
    return command.type === 'start' ? started(command, context) : forked(command, context);
  }
  if (state === null) throw notFound();
  if (command.type === 'setCheckpoint') return checkpointSet(command, state, context);
  if (state.turn !== command.turn) throw stale(state, command.turn);
  if (context.story.hash !== state.versionHash) throw new StoryFault(`the playthrough is pinned to version ${state.versionHash}`);
  switch (command.type) {
    case 'choose':
      return chosen(command, state, context);
    case 'timeOut':
      return timedOut(state, context);
    case 'rewind':
      return rewound(command, state, context);
  }
}

/** Each event with the hash of the state after it, computed by the very fold that will check it. */
function withHashes(state: PlaythroughState | null, events: readonly Unhashed[]): readonly PlaythroughEvent[] {
  let current = state;
  let largest = 0;
  const hashed: PlaythroughEvent[] = [];
  for (const unhashed of events) {
    const event = { ...unhashed, stateHash: '' };
    // What is written may be older than what is folded.
    current = evolve(current, upcast(event, playthroughEvents) as unknown as PlaythroughEvent);
    if (current === null) continue;
    const json = stateToJson(current);
    const size = Buffer.byteLength(json);
    if (size > MAX_STATE_BYTES) {
      throw new Refused('STATE_TOO_LARGE', `the playthrough would need ${size} bytes, more than ${MAX_STATE_BYTES}`, {
        size,
        limit: MAX_STATE_BYTES,
      });
    }
    largest = Math.max(largest, size);
    event.stateHash = jsonHash(json);
    hashed.push(event);
  }
  checkRecordSize(hashed, largest);
  return hashed;
}

/** Measured only where it may matter: an upper bound is a few additions, and nearly always enough. */
function checkRecordSize(events: readonly PlaythroughEvent[], stateBytes: number): void {
  let roughly = stateBytes + 4_096;
  for (const event of events) {
    if ('draws' in event) roughly += event.draws.length * MAX_DRAW_BYTES;
    if (!('offered' in event)) continue;
    roughly += event.offered.length * MAX_OFFER_BYTES;
    for (const { from, to } of event.changes) roughly += largestForm(from) + largestForm(to);
    for (const name of Object.keys(event.guardInputs)) roughly += largestForm(event.guardInputs[name] as Value);
  }
  if (roughly <= MAX_EVENTS_BYTES) return;
  const size = Buffer.byteLength(JSON.stringify(events));
  if (size <= MAX_EVENTS_BYTES) return;
  throw new Refused('STATE_TOO_LARGE', `the record would need ${size} bytes, more than ${MAX_EVENTS_BYTES}`, {
    size,
    limit: MAX_EVENTS_BYTES,
  });
}

const largestForm = (value: Value): number => MAX_MEMBER_BYTES * (1 + (typeof value === 'object' ? value.length : 0));

function started(command: Command<'start'>, context: PlaythroughContext): readonly Unhashed[] {
  const { story, playthroughId, reader, now: at } = context;
  const { storyId, versionHash, preview } = command;
  if (storyId !== story.story.id) throw badInput('storyId', 'the story at hand is another one');
  if (versionHash !== story.hash) throw badInput('versionHash', 'the version at hand is another one');
  if (command.seed !== undefined && !preview) throw badInput('seed', 'only a preview may choose its seed');
  const seed = command.seed === undefined ? context.entropy : seedOf(command.seed);
  const { start } = story;
  const counts = { visits: counted({}, start.id), chosen: {}, turn: 0 };
  const run = new EffectRun(story, seed, story.initialVariables, 0);
  run.run(start.effects, counts);
  const narrative: NarrativeState = {
    chosen: {},
    draws: run.draws,
    ending: null,
    passageId: start.id,
    returnTo: [],
    variables: run.values,
    visits: counts.visits,
  };
  const deadline = deadlineOf(start, { ...counts, variables: run.values }, at);
  const ids = { playthroughId, storyId, versionHash, semantics: 1, seed, reader, preview } as const;
  const first: Unhashed = { type: 'PlaythroughStarted', v: 1, ...ids, draws: run.drawn, narrative, at, deadline };
  const { ending } = start.passage;
  return ending === undefined ? [first] : [first, { type: 'PlaythroughEnded', v: 1, turn: 0, passageId: start.id, ending, at }];
}

function chosen(command: Command<'choose'>, state: PlaythroughState, context: PlaythroughContext): readonly Unhashed[] {
  if (state.status === 'ended') throw ended(state);
  const from = passageOf(context.story, state.narrative.passageId);
  const offers = offersOf(from, scopeOf(state));
  const visible = offers.filter((offer) => offer.visible);
  const ordinal = visible.findIndex((offer) => offer.choiceId === command.choiceId);
  const offer = visible[ordinal];
  if (offer === undefined) throw new Refused('CHOICE_UNKNOWN', 'there is no such choice here', { choiceId: command.choiceId });
  if (!offer.enabled) {
    const reason = offer.reason ?? null;
    throw new Refused('CHOICE_LOCKED', reason ?? 'this choice is locked', {
      choiceId: offer.choiceId,
      reason,
      failed: offer.failed ?? null,
    });
  }
  const at = timeOf(state, context);
  const taken: Taken = offer.takes;
  const moved = move(context.story, state, from, taken, offers, at);
  const shown = { ordinal, labelHash: offer.labelHash, decisionMs: Math.max(0, at - state.enteredAt) };
  return [{ type: 'ChoiceMade', v: 1, ...moved.event, ...shown }, ...moved.ended];
}

function timedOut(state: PlaythroughState, context: PlaythroughContext): readonly Unhashed[] {
  if (state.status === 'ended') throw ended(state);
  const at = timeOf(state, context);
  if (state.deadline === null || at < state.deadline)
    throw badInput('turn', 'no time-out is due on this turn', { deadline: state.deadline });
  const from = passageOf(context.story, state.narrative.passageId);
  if (from.timed === undefined) throw new StoryFault(`passage "${from.id}" has no timed choice`);
  const moved = move(context.story, state, from, { choice: from.timed }, offersOf(from, scopeOf(state)), at);
  return [{ type: 'TimedOut', v: 1, ...moved.event }, ...moved.ended];
}

function rewound(command: Command<'rewind'>, state: PlaythroughState, context: PlaythroughContext): readonly Unhashed[] {
  const { past, story } = context;
  const { toTurn } = command;
  const first = firstTurn(state);
  if (toTurn >= state.turn) throw badInput('toTurn', `a rewind goes to a turn before ${state.turn}`);
  if (past === undefined || toTurn < first) throw badInput('toTurn', `there is no such turn here; the first is ${first}`);
  if (past.reader !== state.reader) throw notFound();
  if (past.versionHash !== state.versionHash) throw badInput('toTurn', 'that turn was played on another version of the story');
  const at = timeOf(state, context);
  const turn = state.turn + 1;
  const narrative = { ...inOrder(past.narrative), draws: Math.max(state.narrative.draws, past.draws) };
  return [{ type: 'Rewound', v: 1, turn, toTurn, narrative, at, deadline: deadlineIn(story, narrative, turn, at) }];
}

/** A what-if begins at the source's turn `atTurn` and counts on from there; its turns before that are the source's. */
function forked(command: Command<'fork'>, context: PlaythroughContext): readonly Unhashed[] {
  const { past, story, playthroughId, reader, now: at } = context;
  if (past === undefined || past.reader !== reader) throw notFound();
  if (past.versionHash !== story.hash) throw new StoryFault(`the playthrough is pinned to version ${past.versionHash}`);
  const { storyId, versionHash } = past;
  const narrative = inOrder(past.narrative);
  const from = { playthroughId: command.from, turn: command.atTurn };
  const ids = { playthroughId, from, storyId, versionHash, semantics: 1, seed: forkedSeed(past.seed, playthroughId), reader } as const;
  return [{ type: 'WhatIfForked', v: 1, ...ids, narrative, at, deadline: deadlineIn(story, narrative, command.atTurn, at) }];
}

function checkpointSet(command: Command<'setCheckpoint'>, state: PlaythroughState, context: PlaythroughContext): readonly Unhashed[] {
  const { mark, turn, name } = command.checkpoint;
  if (state.checkpoints.some((other) => other.mark === mark && other.turn === turn)) return [];
  if (state.turn !== command.turn) throw stale(state, command.turn);
  const first = firstTurn(state);
  if (turn > state.turn || turn < first) throw badInput('checkpoint.turn', `a checkpoint marks a turn from ${first} to ${state.turn}`);
  if (state.checkpoints.length >= MAX_CHECKPOINTS) {
    const details = { what: 'checkpoints', limit: MAX_CHECKPOINTS };
    throw new Refused('STATE_TOO_LARGE', `a playthrough has at most ${MAX_CHECKPOINTS} checkpoints`, details);
  }
  const sealed = { alg: name.alg, ct: name.ct, iv: name.iv, kid: name.kid, tag: name.tag };
  return [{ type: 'CheckpointSet', v: 1, turn: state.turn, checkpoint: { mark, name: sealed, turn }, at: timeOf(state, context) }];
}

const firstTurn = (state: PlaythroughState): number => state.forkedFrom?.turn ?? 0;

/** Time never runs backwards in a stream, whatever the caller's clock says. */
const timeOf = (state: PlaythroughState, context: PlaythroughContext): number => Math.max(context.now, state.lastAt);

/** Keys in canonical order, whatever order the past state came in. */
function inOrder(past: NarrativeState): NarrativeState {
  const { chosen, draws, ending, passageId, returnTo, variables, visits } = past;
  return { chosen, draws, ending, passageId, returnTo, variables, visits };
}

/** The reader who goes back gets the whole time again. */
function deadlineIn(story: CompiledStory, narrative: NarrativeState, turn: number, at: number): number | null {
  if (narrative.ending !== null) return null;
  const { variables, visits, chosen } = narrative;
  return deadlineOf(passageOf(story, narrative.passageId), { variables, visits, chosen, turn }, at);
}
