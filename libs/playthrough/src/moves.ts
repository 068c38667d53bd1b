import { storyletChoiceId, type CompiledChoice, type CompiledPassage, type CompiledStory, type Scope, type Value } from '#lib/story';
import { EffectRun, StoryFault } from './effects.js';
import { counted } from './evolve.js';
import { deadlineOf, type PlaythroughOffer } from './offers.js';
import type { ChoiceMade, OfferedChoice, PlaythroughEnded, TimedOut } from './playthrough-events.js';
import { MAX_RETURN_DEPTH, type PlaythroughState } from './playthrough-state.js';
import { Refused } from './refusal.js';

/** What a move takes: a choice of the passage, or a storylet that the passage, a hub, offers. */
export type Taken = { readonly choice: CompiledChoice } | { readonly storylet: CompiledPassage };

type MoveFields = Omit<TimedOut, 'type' | 'v' | 'stateHash'> &
  Omit<ChoiceMade, 'type' | 'v' | 'stateHash' | 'ordinal' | 'labelHash' | 'decisionMs'>;
export interface Moved {
  readonly event: MoveFields;
  readonly ended: readonly Omit<PlaythroughEnded, 'stateHash'>[];
}

/** Guards read this in the state as it stands. */
export function scopeOf(state: PlaythroughState): Scope {
  const { variables, visits, chosen } = state.narrative;
  return { variables, visits, chosen, turn: state.turn };
}

/** @throws StoryFault for a passage that the pinned version lacks. */
export function passageOf(story: CompiledStory, id: string): CompiledPassage {
  const passage = story.passage(id);
  if (passage === undefined) throw new StoryFault(`the story has no passage "${id}"`);
  return passage;
}

/**
 * One move, in this order: the choice's effects (guards see the turn and counts the reader saw); then the choice counts as chosen and the turn
 * is one more; then the passage is entered: a visit more, its effects, its deadline, its ending.
 * @throws StoryFault, or Refused when storylets are nested too deep.
 */
export function move(
  story: CompiledStory,
  state: PlaythroughState,
  from: CompiledPassage,
  taken: Taken,
  offers: readonly PlaythroughOffer[],
  at: number,
): Moved {
  const { narrative } = state;
  const before = scopeOf(state);
  const choiceId = 'choice' in taken ? taken.choice.id : storyletChoiceId(taken.storylet.id);
  const run = new EffectRun(story, state.seed, narrative.variables, narrative.draws);
  if ('choice' in taken) run.run(taken.choice.effects, before);

  const turn = state.turn + 1;
  const way = wayOf(story, narrative.returnTo, from, taken);
  let deadline: number | null = null;
  if (way.enters !== undefined) {
    const counts = { visits: counted(narrative.visits, way.enters.id), chosen: counted(narrative.chosen, `${from.id}/${choiceId}`), turn };
    run.run(way.enters.effects, counts);
    deadline = deadlineOf(way.enters, { ...counts, variables: run.values }, at);
  }
  const toPassageId = way.enters?.id ?? from.id;
  const ending = way.enters === undefined ? way.ending : way.enters.passage.ending;
  const event: MoveFields = {
    turn,
    storyId: state.storyId,
    versionHash: state.versionHash,
    semantics: 1,
    fromPassageId: from.id,
    choiceId,
    offered: offers.map(asRecorded),
    guardInputs: guardInputsOf(taken, before),
    changes: run.changes(),
    draws: run.drawn,
    toPassageId,
    entered: way.enters !== undefined,
    returnTo: way.returnTo,
    at,
    deadline,
  };
  return { event, ended: ending === undefined ? [] : [{ type: 'PlaythroughEnded', v: 1, turn, passageId: toPassageId, ending, at }] };
}

interface Way {
  readonly enters?: CompiledPassage;
  readonly ending?: string;
  readonly returnTo: readonly string[];
}

function wayOf(story: CompiledStory, returnTo: readonly string[], from: CompiledPassage, taken: Taken): Way {
  if ('storylet' in taken) return entering(taken.storylet, [...returnTo, from.id]);
  const { target } = taken.choice;
  if ('end' in target) return { ending: target.end, returnTo };
  if ('passage' in target) return entering(passageOf(story, target.passage), returnTo);
  // Nothing to come back to (lint names such choices): the story begins anew at its start passage, with all that was gained.
  const back = returnTo.at(-1);
  return entering(back === undefined ? story.start : passageOf(story, back), returnTo);
}

/**
 * Who enters a passage that waits to be come back to is back there: it and all above it leave the list. So a storylet may lead to its hub by
 * an ordinary link, and the list never holds a passage twice.
 */
function entering(passage: CompiledPassage, returnTo: readonly string[]): Way {
  const waits = returnTo.indexOf(passage.id);
  const rest = waits < 0 ? returnTo : returnTo.slice(0, waits);
  if (rest.length > MAX_RETURN_DEPTH) {
    const details = { what: 'returnTo', limit: MAX_RETURN_DEPTH };
    throw new Refused('STORY_FAULT', `storylets are nested at most ${MAX_RETURN_DEPTH} deep; return from one first`, details);
  }
  return { enters: passage, returnTo: rest };
}

function asRecorded(offer: PlaythroughOffer): OfferedChoice {
  const { choiceId, visible, enabled, failed } = offer;
  return failed === undefined ? { choiceId, visible, enabled } : { choiceId, visible, enabled, failed };
}

function guardInputsOf(taken: Taken, scope: Scope): { readonly [name: string]: Value } {
  const guards = 'choice' in taken ? [taken.choice.visibleWhen, taken.choice.enabledWhen] : [taken.storylet.offerWhen];
  const inputs: Record<string, Value> = {};
  for (const guard of guards) {
    for (const name of guard?.reads ?? []) {
      const value = scope.variables[name];
      if (value !== undefined) inputs[name] = value;
    }
  }
  return inputs;
}
