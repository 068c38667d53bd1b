import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRejection } from '#lib/decision';
import { momentOf, playthrough, type PlaythroughCommand, type PlaythroughContext, type PlaythroughState } from '#lib/playthrough';
import { compileStory, lintStory, type CompiledStory, type Story } from '#lib/story';
import { importStory } from '#lib/story-formats';

const read = (file: string): string => readFileSync(join(__dirname, '../stories', file), 'utf8');
const wordsIn = (text: string): number => text.split(/\s+/u).filter((word) => /\p{L}|\p{N}/u.test(word)).length;
const proseOf = (story: Story): number =>
  Object.values(story.passages).reduce((sum, { text }) => sum + wordsIn(text.map((part) => part.text).join('\n\n')), 0);

/** Small seeded generator (mulberry32), so that a failing walk can be walked again. */
function seeded(seed: number): (below: number) => number {
  let a = seed >>> 0;
  return (below) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

interface Coverage {
  readonly passages: Set<string>;
  readonly choices: Map<string, number>;
  readonly endings: Map<string, number>;
  /** What stood before a reader who could do nothing. */
  readonly stuck: string[];
  turns: number;
}

const LONGEST_WALK = 60;

/** Where a walk can be taken up again: the state and the clock, both reached by commands alone. */
interface Place {
  readonly state: PlaythroughState;
  readonly now: number;
  begun: number;
}

/** States that are alike for exploring: the passage, what is held and known, and which endings are thereby near. */
function likeness({ narrative: { passageId, variables } }: PlaythroughState): string {
  const held = Object.values(variables).filter((value) => typeof value !== 'number');
  return JSON.stringify([passageId, held.map((value) => (Array.isArray(value) ? value.length : value))]);
}

/**
 * Plays one stretch, from the start or from a place seldom begun at, mostly taking what was taken least, and sometimes letting the time run out.
 * Stories are wide: a walk that always starts at the beginning would need luck to meet what takes twenty right choices in a row.
 */
function walk(story: CompiledStory, seed: number, seen: Coverage, places: Map<string, Place>): void {
  const random = seeded(seed);
  const known = [...places.values()];
  const from =
    random(4) === 0 || known.length === 0
      ? undefined
      : Array.from({ length: 8 }, () => known[random(known.length)] as Place).reduce((least, place) =>
          place.begun < least.begun ? place : least,
        );
  if (from !== undefined) from.begun += 1;
  let now = from?.now ?? 1_000_000;
  let state: PlaythroughState | null = from?.state ?? null;
  const run = (command: PlaythroughCommand): PlaythroughState => {
    const context: PlaythroughContext = {
      story,
      now,
      playthroughId: `walk-${seed}`,
      reader: 'auto',
      entropy: seed.toString(16).padStart(32, '0'),
    };
    const events = playthrough.decide(command, state, context);
    if (isRejection(events)) throw new Error(`${command.type} was refused: ${JSON.stringify(events)}`);
    return events.reduce<PlaythroughState | null>((folded, event) => playthrough.evolve(folded, event), state) as PlaythroughState;
  };
  let at: PlaythroughState = state ?? run({ type: 'start', storyId: story.story.id, versionHash: story.hash, preview: true });
  for (let step = 0; step < LONGEST_WALK; step += 1) {
    state = at;
    const { passage, offers, deadline, ending } = momentOf(story, at);
    seen.passages.add(passage.id);
    if (at.status === 'ended') {
      seen.endings.set(ending ?? '', (seen.endings.get(ending ?? '') ?? 0) + 1);
      return;
    }
    const place = likeness(at);
    if (!places.has(place)) places.set(place, { state: at, now, begun: 0 });
    seen.turns += 1;
    if (deadline !== null && random(4) === 0) {
      now = deadline + 1_000;
      at = run({ type: 'timeOut', turn: at.turn });
      continue;
    }
    now += 1_000;
    const open = offers.filter((offer) => offer.enabled);
    if (open.length === 0) {
      seen.stuck.push(`${passage.id} (seed ${seed})`);
      return;
    }
    const taken = (id: string): number => seen.choices.get(`${passage.id}/${id}`) ?? 0;
    const pick =
      random(3) === 0
        ? open.reduce((least, offer) => (taken(offer.id) < taken(least.id) ? offer : least))
        : (open[random(open.length)] as (typeof open)[0]);
    seen.choices.set(`${passage.id}/${pick.id}`, taken(pick.id) + 1);
    at = run({ type: 'choose', choiceId: pick.id, turn: at.turn });
  }
}

function walks(story: CompiledStory, count: number): Coverage {
  const seen: Coverage = { passages: new Set(), choices: new Map(), endings: new Map(), stuck: [], turns: 0 };
  const places = new Map<string, Place>();
  for (let seed = 1; seed <= count; seed += 1) walk(story, seed, seen, places);
  return seen;
}

describe.each([
  { file: 'the-inspector-of-bells.yaml', format: 'yaml', passages: 44, words: 6_500, endings: 5, walks: 1_500 },
  { file: 'the-cloakroom.twee', format: 'twee', passages: 12, words: 1_200, endings: 3, walks: 300 },
] as const)('the sample story $file', (sample) => {
  const imported = importStory(sample.format, read(sample.file));
  const story = imported.story as Story;

  it('imports whole, without a finding of any severity', () => {
    expect(imported.problems).toEqual([]);
    expect(imported.notImported).toEqual([]);
    expect(imported.warnings).toEqual([]);
    expect(lintStory(story)).toEqual([]);
  });

  it('is as long as it was promised to be', () => {
    expect(Object.keys(story.passages).length).toBeGreaterThanOrEqual(sample.passages);
    expect(proseOf(story)).toBeGreaterThanOrEqual(sample.words);
    expect(Object.keys(story.endings).length).toBeGreaterThanOrEqual(sample.endings);
  });

  it('is played by itself to every passage and every ending, takes every choice, and never leaves the reader without one', () => {
    const seen = walks(compileStory(story), sample.walks);
    const authored = Object.entries(story.passages).flatMap(([id, { choices }]) =>
      choices.filter(({ kind }) => kind !== 'timed').map((choice) => `${id}/${choice.id}`),
    );
    process.stdout.write(
      `${story.title}: ${proseOf(story)} words, ${Object.keys(story.passages).length} passages, ${authored.length} choices; ` +
        `${sample.walks} walks of ${Math.round(seen.turns / sample.walks)} turns on average; endings ${JSON.stringify(Object.fromEntries(seen.endings))}\n`,
    );
    expect(seen.stuck).toEqual([]);
    expect(Object.keys(story.passages).filter((id) => !seen.passages.has(id))).toEqual([]);
    expect(Object.keys(story.endings).filter((id) => !seen.endings.has(id))).toEqual([]);
    expect(authored.filter((key) => !seen.choices.has(key))).toEqual([]);
  });
});
