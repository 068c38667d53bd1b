import type { PlaythroughState } from '../playthrough-state.js';
import { name, Player } from './player.js';
import { bridge } from './small-story.js';

/** Streams that hold every event type in every shape it has; the golden files are made of them. */
export function goldenPlays(): { readonly [file: string]: Player } {
  const full = new Player(bridge()).start();
  const step = (id: string): void => {
    full.now += 1_000;
    full.choose(id);
  };
  for (const id of ['beg', 'look', 'camp', 'storylet:peddler', 'buy', 'storylet:dice', 'roll', 'roll', 'back', 'leave']) step(id);
  full.send({ type: 'setCheckpoint', checkpoint: { name: name('sealed'), mark: 'bWFyaw', turn: 3 }, turn: full.current.turn });
  full.send({ type: 'rewind', toTurn: 6, turn: full.current.turn });
  while (gold(full.current) < 3) step('roll');
  for (const id of ['back', 'leave', 'cross']) step(id);
  full.now += 5_000;
  full.send({ type: 'timeOut', turn: full.current.turn });

  const whatIf = new Player(full.story, 'what-if');
  const past = full.past(3);
  if (past === undefined) throw new Error('turn 3 was played');
  whatIf.send({ type: 'fork', from: full.id, atTurn: 3 }, { past });
  whatIf.choose('leave');
  whatIf.choose('give-up');

  const preview = new Player(full.story, 'preview');
  preview.send({ type: 'start', storyId: 'small', versionHash: full.story.hash, preview: true, seed: 'a seed' });
  return { playthrough: full, 'what-if': whatIf, preview };
}

const gold = (state: PlaythroughState): number => state.narrative.variables['gold'] as number;
