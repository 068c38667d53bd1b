import type { ChoiceMade, PlaythroughEvent, PlaythroughStarted, TimedOut, WhatIfForked } from './playthrough-events.js';
import type { NarrativeState, PlaythroughState } from './playthrough-state.js';

/*
 * Folding is copying: it needs neither the story nor history, because events carry results. Keys are kept in canonical order (see
 * stateToJson), literals below too.
 */

/**
 * The state after an event. Total: an event that cannot follow (a move before the start) leaves the state as it is; the state hash then
 * tells (see `applyRecorded`).
 */
export function evolve(state: PlaythroughState | null, event: PlaythroughEvent): PlaythroughState | null {
  if (event.type === 'PlaythroughStarted' || event.type === 'WhatIfForked') return begun(event);
  if (state === null) return null;
  switch (event.type) {
    case 'ChoiceMade':
    case 'TimedOut':
      return moved(state, event);
    case 'PlaythroughEnded':
      return next(state, event.at, { narrative: { ...state.narrative, ending: event.ending }, deadline: null, status: 'ended' });
    case 'Rewound':
      return next(state, event.at, {
        narrative: event.narrative,
        deadline: event.deadline,
        enteredAt: event.at,
        turn: event.turn,
        status: event.narrative.ending === null ? 'active' : 'ended',
      });
    case 'CheckpointSet':
      return next(state, event.at, { checkpoints: [...state.checkpoints, event.checkpoint] });
    default:
      return state;
  }
}

function begun(event: PlaythroughStarted | WhatIfForked): PlaythroughState {
  const forkedFrom = event.type === 'WhatIfForked' ? { playthroughId: event.from.playthroughId, turn: event.from.turn } : null;
  return {
    checkpoints: [],
    deadline: event.deadline,
    enteredAt: event.at,
    forkedFrom,
    id: event.playthroughId,
    lastAt: event.at,
    narrative: event.narrative,
    preview: event.type === 'PlaythroughStarted' && event.preview,
    reader: event.reader,
    seed: event.seed,
    status: event.narrative.ending === null ? 'active' : 'ended',
    storyId: event.storyId,
    turn: forkedFrom === null ? 0 : forkedFrom.turn,
    versionHash: event.versionHash,
  };
}

function moved(state: PlaythroughState, event: ChoiceMade | TimedOut): PlaythroughState {
  const { narrative } = state;
  const last = event.draws.at(-1);
  const moved: NarrativeState = {
    chosen: counted(narrative.chosen, `${event.fromPassageId}/${event.choiceId}`),
    draws: last === undefined ? narrative.draws : last.n + 1,
    ending: narrative.ending,
    passageId: event.toPassageId,
    returnTo: event.returnTo,
    variables: withChanges(narrative.variables, event.changes),
    visits: event.entered ? counted(narrative.visits, event.toPassageId) : narrative.visits,
  };
  return next(state, event.at, { narrative: moved, deadline: event.deadline, enteredAt: event.at, turn: event.turn });
}

type Changing = Partial<Pick<PlaythroughState, 'checkpoints' | 'deadline' | 'enteredAt' | 'narrative' | 'status' | 'turn'>>;

/** All keys exist already, so the copy keeps their order. */
function next(state: PlaythroughState, at: number, changing: Changing): PlaythroughState {
  return { ...state, ...changing, lastAt: at };
}

function withChanges(variables: NarrativeState['variables'], changes: ChoiceMade['changes']): NarrativeState['variables'] {
  if (changes.length === 0) return variables;
  const changed = { ...variables };
  for (const { name, to } of changes) changed[name] = to;
  return changed;
}

type Counts = { readonly [key: string]: number };
interface Counted {
  readonly counts: Counts;
  readonly key: string;
  readonly result: Counts;
}

/*
 * Deciding a move, hashing the state it leads to and folding it count the same visit and the same choice three times, and copying these maps
 * is most of what that costs. Counts are never changed, so the copy made first serves all three.
 */
let latest: Counted | undefined;
let before: Counted | undefined;

/** One more at `key`; a new key goes to its place in the order. */
export function counted(counts: Counts, key: string): Counts {
  if (latest?.counts === counts && latest.key === key) return latest.result;
  if (before?.counts === counts && before.key === key) return before.result;
  before = latest;
  latest = { counts, key, result: copied(counts, key) };
  return latest.result;
}

function copied(counts: Counts, key: string): Counts {
  if (Object.hasOwn(counts, key)) return { ...counts, [key]: (counts[key] as number) + 1 };
  const out: Record<string, number> = {};
  let placed = false;
  for (const other of Object.keys(counts)) {
    if (!placed && key < other) {
      out[key] = 1;
      placed = true;
    }
    out[other] = counts[other] as number;
  }
  if (!placed) out[key] = 1;
  return out;
}
