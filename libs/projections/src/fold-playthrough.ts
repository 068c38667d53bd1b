import { sha256Hex } from '#lib/canonical';
import type { DecisionRecord } from '#lib/decision';
import type { Offset } from '#lib/log';
import {
  playthrough,
  playthroughEvents,
  playthroughStream,
  stateFromJson,
  stateToJson,
  type PlaythroughEvent,
  type PlaythroughState,
} from '#lib/playthrough';
import type { Counters, VersionCounters } from './counters.js';
import type { CheckpointRow, PlaythroughRow, TurnRow } from './read-model.js';
import { StateDiffers, type StreamKind } from './stream-kind.js';

/** A snapshot every so many turns bounds what a rewind must fold. */
export const SNAPSHOT_EVERY = 32;

interface Step {
  readonly before: PlaythroughState | null;
  readonly event: PlaythroughEvent;
  readonly after: PlaythroughState;
}

/** Playthroughs: the moment they stand at, their turns, bookmarks, and what readers did as statistics. */
export const playthroughKind: StreamKind<PlaythroughState> = {
  catalogue: playthroughEvents,
  stateFromJson,
  fold(before, record, recorded, offset) {
    const steps = stepsOf(before, recorded as unknown as readonly PlaythroughEvent[]);
    const { event: last, after } = steps[steps.length - 1] as Step;
    const json = stateToJson(after);
    if (sha256Hex(json) !== last.stateHash) throw new StateDiffers(`the state after ${last.type} is not the recorded one`);
    if (record.stream !== playthroughStream(after.id)) throw new StateDiffers(`the events are of playthrough ${after.id}`);
    const turns = turnRows(record, steps, json, offset);
    return {
      after,
      json,
      keep(rows) {
        rows.playthrough(playthroughRow(after, before === null ? (steps[0] as Step).event.at : null));
        for (const turn of turns) rows.turn(turn);
        for (const { event } of steps) if (event.type === 'CheckpointSet') rows.checkpoint(checkpointRow(after.id, event));
        countPlaythrough(rows.counters, steps);
      },
    };
  },
};

function stepsOf(before: PlaythroughState | null, events: readonly PlaythroughEvent[]): readonly Step[] {
  let state = before;
  return events.map((event) => {
    if (!isSound(event)) throw new TypeError(`${event.type} lacks what the read models need`);
    const step = { before: state, event, after: playthrough.evolve(state, event) };
    if (step.after === null) throw new StateDiffers(`${event.type} before the start of the playthrough`);
    state = step.after;
    return step as Step;
  });
}

/** Fields that rows and counters use but no state hash covers. */
function isSound(event: PlaythroughEvent): boolean {
  if (event.type === 'PlaythroughEnded') return typeof event.ending === 'string';
  if (event.type !== 'ChoiceMade' && event.type !== 'TimedOut') return true;
  if (typeof event.fromPassageId !== 'string' || typeof event.choiceId !== 'string' || !Array.isArray(event.offered)) return false;
  return event.offered.every((offer: unknown) => typeof (offer as { choiceId?: unknown } | null)?.choiceId === 'string');
}

function checkpointRow(playthroughId: string, event: Extract<PlaythroughEvent, { type: 'CheckpointSet' }>): CheckpointRow {
  const { turn, mark, name } = event.checkpoint;
  return { playthroughId, turn, mark, name: JSON.stringify(name), at: event.at };
}

/** One row per turn the record leads to: nearly always one. */
function turnRows(record: DecisionRecord, steps: readonly Step[], json: string, offset: Offset): readonly TurnRow[] {
  const rows: TurnRow[] = [];
  for (let from = 0; from < steps.length;) {
    const first = steps[from] as Step;
    let to = from + 1;
    while (to < steps.length && (steps[to] as Step).after.turn === first.after.turn) to++;
    const after = (steps[to - 1] as Step).after;
    const { event } = first;
    const due = first.before === null || (first.before.turn !== after.turn && after.turn % SNAPSHOT_EVERY === 0);
    rows.push({
      playthroughId: after.id,
      turn: after.turn,
      offset,
      kind: event.type,
      passageId: 'fromPassageId' in event ? event.fromPassageId : after.narrative.passageId,
      choiceId: 'choiceId' in event ? event.choiceId : null,
      correlationId: record.correlationId,
      at: event.at,
      stateHash: (steps[to - 1] as Step).event.stateHash,
      events: JSON.stringify(from === 0 && to === steps.length ? record.events : record.events.slice(from, to)),
      snapshot: !due ? null : to === steps.length ? json : stateToJson(after),
    });
    from = to;
  }
  return rows;
}

export function playthroughRow(state: PlaythroughState, startedAt: number | null): PlaythroughRow {
  return {
    id: state.id,
    storyId: state.storyId,
    versionHash: state.versionHash,
    reader: state.reader,
    status: state.status,
    turn: state.turn,
    passageId: state.narrative.passageId,
    ending: state.narrative.ending,
    deadline: state.status === 'active' ? state.deadline : null,
    preview: state.preview,
    forkedFromId: state.forkedFrom?.playthroughId ?? null,
    forkedFromTurn: state.forkedFrom?.turn ?? null,
    startedAt,
    updatedAt: state.lastAt,
  };
}

/** Statistics: readers' own runs only; who stands where now counts everybody. */
export function countPlaythrough(counters: Counters, steps: readonly Step[]): void {
  for (const { before, event, after } of steps) {
    countStanding(counters, before, after);
    if (after.preview || after.forkedFrom !== null) continue;
    const version = counters.version(after.storyId, after.versionHash);
    const here = after.narrative.passageId;
    switch (event.type) {
      case 'PlaythroughStarted':
        version.passage(here, 'entered', 1);
        break;
      case 'ChoiceMade':
      case 'TimedOut':
        countMove(version, event);
        break;
      case 'PlaythroughEnded':
        version.passage(here, 'ended', 1);
        version.ending(event.ending);
        break;
      case 'Rewound':
        // Ended runs have left already, as `ended`: so entered + rewoundTo - left - ended - rewoundFrom stays the number of those still there.
        if (before?.status === 'active') {
          counters.version(before.storyId, before.versionHash).passage(before.narrative.passageId, 'rewoundFrom', 1);
        }
        if (after.status === 'active') version.passage(here, 'rewoundTo', 1);
        break;
      case 'WhatIfForked':
      case 'CheckpointSet':
        break;
    }
  }
}

function countMove(version: VersionCounters, event: Extract<PlaythroughEvent, { type: 'ChoiceMade' | 'TimedOut' }>): void {
  for (const offer of event.offered) {
    const stat = version.choice(event.fromPassageId, offer.choiceId);
    stat.offered++;
    if (offer.visible) stat.visible++;
    if (offer.visible && offer.enabled) stat.enabled++;
  }
  version.choice(event.fromPassageId, event.choiceId).picked++;
  if (!event.entered) return;
  version.passage(event.fromPassageId, 'left', 1);
  version.passage(event.toPassageId, 'entered', 1);
}

function countStanding(counters: Counters, before: PlaythroughState | null, after: PlaythroughState): void {
  const here = after.status === 'active' ? after : null;
  const there = before?.status === 'active' ? before : null;
  if (here !== null && there !== null && here.narrative.passageId === there.narrative.passageId && here.versionHash === there.versionHash)
    return;
  if (there !== null) counters.version(there.storyId, there.versionHash).passage(there.narrative.passageId, 'standing', -1);
  if (here !== null) counters.version(here.storyId, here.versionHash).passage(here.narrative.passageId, 'standing', 1);
}
