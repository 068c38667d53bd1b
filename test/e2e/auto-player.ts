import type { ApiClient, Payload, PlayedPlaythrough } from '../support/api-client.js';

/** mulberry32: a walk that fails can be walked again. */
export function seeded(seed: number): (below: number) => number {
  let a = seed >>> 0;
  return (below) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

export interface Step {
  readonly from: PlayedPlaythrough;
  readonly choiceId: string;
  readonly answer: Payload;
}
export interface Walk {
  readonly start: Payload;
  readonly steps: readonly Step[];
  /** Where it stands at the end. */
  readonly last: PlayedPlaythrough;
}

/** Plays over the public API, preferring what this walk has taken least, until an ending or `longest` turns. */
export async function walk(client: ApiClient, storyId: string, seed: number, longest = 200): Promise<Walk> {
  const random = seeded(seed);
  const taken = new Map<string, number>();
  const start = await client.start(storyId);
  const steps: Step[] = [];
  let at = start.playthrough;
  while (at.status === 'ACTIVE' && steps.length < longest) {
    const open = at.moment.choices.filter(({ enabled }) => enabled);
    const count = (id: string): number => taken.get(`${at.moment.passage.id}/${id}`) ?? 0;
    const least = Math.min(...open.map(({ id }) => count(id)));
    const among = open.filter(({ id }) => count(id) === least);
    const choice = among[random(among.length)];
    if (choice === undefined) throw new Error(`nothing can be chosen in ${at.moment.passage.id} on turn ${at.turn}`);
    taken.set(`${at.moment.passage.id}/${choice.id}`, count(choice.id) + 1);
    const answer = await client.choose(at.id, choice.id, at.turn);
    steps.push({ from: at, choiceId: choice.id, answer });
    at = answer.playthrough;
  }
  return { start, steps, last: at };
}
