import { isRejection } from '#lib/decision';
import { drawInt, stateHash } from '#lib/playthrough';
import type { CompiledStory } from '#lib/story';
import { SoloPlaythrough } from './solo-playthrough.js';

/** How one random run ended. `stuck`: nothing could be chosen and no time-out was to come; `fault`: the story refused. */
export interface Run {
  readonly seed: string;
  readonly outcome: 'ended' | 'turns-used' | 'stuck' | 'fault';
  readonly turns: number;
  readonly passage: string;
  readonly ending: string | null;
  readonly stateHash: string | null;
  readonly fault: string | null;
}

export interface AutoPlay {
  readonly runs: readonly Run[];
  readonly turns: number;
  readonly endings: readonly { readonly id: string; readonly title: string; readonly reached: number }[];
  readonly passages: number;
  readonly visited: number;
  readonly neverVisited: readonly string[];
}

const TURN_MS = 1_000;
/** One time in so many the reader lets the time run out. */
const DAWDLES = 4;

/** Plays at random, repeatably: everything derives from the seed, time too. */
export function autoPlay(
  story: CompiledStory,
  seed: string,
  options: { readonly turns: number; readonly runs: number; readonly onRun?: (done: number) => void },
): AutoPlay {
  const runs: Run[] = [];
  const visited = new Set<string>();
  for (let run = 0; run < options.runs; run++) {
    runs.push(playOnce(story, options.runs === 1 ? seed : `${seed}/${run}`, options.turns, visited));
    options.onRun?.(run + 1);
  }
  const ids = Object.keys(story.story.passages);
  return {
    runs,
    turns: runs.reduce((sum, run) => sum + run.turns, 0),
    endings: Object.entries(story.story.endings).map(([id, { title }]) => ({
      id,
      title,
      reached: runs.filter(({ ending }) => ending === id).length,
    })),
    passages: ids.length,
    visited: visited.size,
    neverVisited: ids.filter((id) => !visited.has(id)),
  };
}

function playOnce(story: CompiledStory, seed: string, limit: number, visited: Set<string>): Run {
  let now = 0;
  const play = SoloPlaythrough.start(story, seed, () => now);
  if (!(play instanceof SoloPlaythrough))
    return { seed, outcome: 'fault', turns: 0, passage: story.start.id, ending: null, stateHash: null, fault: play.message };
  const ended = (outcome: Run['outcome'], turns: number, fault: string | null = null): Run => {
    const { narrative } = play.state;
    return { seed, outcome, turns, passage: narrative.passageId, ending: narrative.ending, stateHash: stateHash(play.state), fault };
  };
  for (let turn = 0; ; turn++) {
    visited.add(play.state.narrative.passageId);
    if (play.state.status === 'ended') return ended('ended', turn);
    if (turn === limit) return ended('turns-used', turn);
    now += TURN_MS;
    const { offers, deadline } = play.moment;
    const open = offers.filter(({ enabled }) => enabled);
    const late = deadline !== null && (open.length === 0 || drawInt(seed, 'auto-play:dawdle', turn, 1, DAWDLES) === 1);
    if (late) now = Math.max(now, deadline + TURN_MS);
    const picked = open[drawInt(seed, 'auto-play', turn, 0, Math.max(0, open.length - 1))];
    const done = play.timeOut() ?? (picked === undefined ? undefined : play.choose(picked.id));
    if (done === undefined) return ended('stuck', turn);
    if (isRejection(done)) return ended('fault', turn, done.message);
  }
}
