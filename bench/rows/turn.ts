import { momentOf, stateToJson } from '#lib/playthrough';
import { roomsTurn, shownOf, startRooms } from '../fabula/in-process-turn.js';
import { perCpuSecond } from '../measure/cpu-timed.js';
import { interleaved } from '../measure/rounds.js';
import { inkTurn, openInkStory, startInk, type Shown } from '../peers/ink-rooms.js';
import { verify, type Row } from '../row.js';
import { compiledRooms } from '../story/room-story.js';

const TURNS = 200;

/** A story turn in process, as a server has to do it: load the state from JSON, choose, evaluate, save it as JSON. */
export const turn: Row = async (context) => {
  const route = routeOf();
  const first = stateToJson(startRooms());
  const story = openInkStory();
  startInk(story);
  const inkFirst = story.state.toJson();
  const ms = context.seconds * 1000;
  const { sides, foreignCpu } = await interleaved(
    {
      fabula: async () =>
        perCpuSecond(ms, () => {
          let saved = first;
          for (const { id } of route) saved = roomsTurn(saved, id).saved;
          return route.length;
        }),
      peer: async () =>
        perCpuSecond(ms, () => {
          let saved = inkFirst;
          for (const { label } of route) saved = inkTurn(story, saved, label).saved;
          return route.length;
        }),
    },
    {
      rounds: context.rounds,
      onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)} turns/s`),
    },
  );
  return [
    {
      row: 'turn',
      unit: 'turns per CPU second',
      goals: [{ to: 'peer', atLeast: 10 }],
      sides,
      foreignCpu,
      verified: [verify(`both show the same text and the same choices at each of ${TURNS} turns`, route.length === TURNS)],
      peer: 'inkjs 2.4.0, the same story: LoadJson, ChooseChoiceIndex, ContinueMaximally, toJson',
      extra: { passages: compiledRooms.story.passages === undefined ? 0 : Object.keys(compiledRooms.story.passages).length, turns: TURNS },
    },
  ];
};

/** Plays both side by side, through every choice that is offered, and refuses the first difference. */
function routeOf(): readonly { readonly id: string; readonly label: string }[] {
  const route: { id: string; label: string }[] = [];
  const state = startRooms();
  let saved = stateToJson(state);
  let offers = momentOf(compiledRooms, state).offers;
  const story = openInkStory();
  same(0, shownOf(momentOf(compiledRooms, state)), startInk(story));
  let ink = story.state.toJson();
  for (let turn = 1; turn <= TURNS; turn++) {
    const offer = offers[(turn * 7) % offers.length];
    if (offer === undefined) throw new Error('nothing is offered');
    route.push({ id: offer.id, label: offer.label });
    const ours = roomsTurn(saved, offer.id);
    const theirs = inkTurn(story, ink, offer.label);
    same(turn, shownOf(ours.moment), theirs.shown);
    saved = ours.saved;
    ink = theirs.saved;
    offers = ours.moment.offers;
  }
  verify('the route takes guarded choices too', new Set(route.map(({ id }) => id)).size === 4);
  return route;
}

function same(turn: number, ours: Shown, theirs: Shown): void {
  const [a, b] = [JSON.stringify(ours), JSON.stringify(theirs)];
  verify(`turn ${turn} shows the same`, a === b, `\n${a}\n${b}`);
}
