import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { compileStory, type CompiledStory, type Story } from '#lib/story';
import { importStory, joinTwee, type StoryFormat } from '#lib/story-formats';

export const STORIES_DIR = process.env['FABULA_STORIES_DIR'] ?? '../shared/stories';
export const haveStories = existsSync(STORIES_DIR);

export interface PlayableStory {
  readonly name: string;
  readonly story: CompiledStory;
}

/** The sample stories of this project. */
export function sampleStories(): readonly PlayableStory[] {
  const folder = path.resolve(__dirname, '../../stories');
  return [
    playable('the-inspector-of-bells', 'yaml', readFileSync(path.join(folder, 'the-inspector-of-bells.yaml'), 'utf8')),
    playable('the-cloakroom', 'twee', readFileSync(path.join(folder, 'the-cloakroom.twee'), 'utf8')),
  ].flatMap((one) => one ?? []);
}

/** Other people's Twee stories: each file that can be played, and the games that are spread over a folder. */
export function foreignStories(): readonly PlayableStory[] {
  if (!haveStories) return [];
  const files = readdirSync(STORIES_DIR, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:twee|tw)$/.test(name))
    .toSorted();
  const read = (name: string): string => readFileSync(path.join(STORIES_DIR, name), 'utf8');
  const game = files.filter((name) => name.startsWith(path.join('sons-of-ordson', 'story')));
  const sources = files.filter((name) => !game.includes(name)).map((name) => ({ name, text: read(name) }));
  if (game.length > 0) sources.push({ name: `sons-of-ordson (${game.length} files)`, text: joinTwee(game.map(read)) });
  const seen = new Set<string>();
  return sources.flatMap(({ name, text }) => {
    const found = playable(name, 'twee', text);
    // The same story lies in several folders.
    if (found === undefined || seen.has(found.story.hash)) return [];
    seen.add(found.story.hash);
    return [found];
  });
}

function playable(name: string, format: StoryFormat, source: string): PlayableStory | undefined {
  const { story } = importStory(format, source, { id: 'random-play' });
  if (story === undefined) return undefined;
  const { mended, added } = withMissingPassages(story);
  let compiled: CompiledStory;
  try {
    compiled = compileStory(mended);
  } catch {
    // Has errors that an author must mend first: nobody could publish it.
    return undefined;
  }
  if (compiled.start.choices.length === 0) return undefined;
  return { name: added === 0 ? name : `${name}, with its ${added} missing passages`, story: compiled };
}

/** Some of these games were published with links to passages that are not there; each gets one that leads back to the start. */
function withMissingPassages(story: Story): { readonly mended: Story; readonly added: number } {
  const missing = new Set<string>();
  for (const { choices } of Object.values(story.passages)) {
    for (const { target } of choices)
      if ('passage' in target && !Object.hasOwn(story.passages, target.passage)) missing.add(target.passage);
  }
  const passages = { ...story.passages };
  for (const id of missing) {
    const back = { id: 'back', label: 'Back', repeat: 'sticky', kind: 'normal', effects: [], target: { passage: story.start } } as const;
    passages[id] = { title: id, tags: [], text: [{ text: 'Nobody wrote this.' }], effects: [], priority: 0, choices: [back] };
  }
  return { mended: { ...story, passages }, added: missing.size };
}
