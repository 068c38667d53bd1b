import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isRejection, UnknownEvent, type EventSchema, type RecordedEvent } from '#lib/decision';
import { applyRecordedStory, authoringEvents, BrokenStoryFold, storyAuthoring, storyStateHash } from './story-authoring.js';
import type { StoryCommand, StoryEvent, StoryStreamState } from './story-stream.js';

/*
 * Golden files are streams as they were once written: they must be readable for ever. `FABULA_TEST_WRITE_GOLDEN=1` writes those of today's
 * versions; files of older versions are never made again.
 */
const folder = path.join(__dirname, 'golden');

interface Golden {
  readonly events: readonly RecordedEvent[];
  readonly stateHashes: readonly string[];
}

const draft = (hash: string, title: string): StoryCommand => ({
  type: 'draftVersion',
  storyId: 'bells',
  versionHash: hash.repeat(64),
  title,
  format: 'yaml',
  lintErrors: 0,
  lintWarnings: 2,
  passages: 12,
});
const commands: readonly StoryCommand[] = [
  draft('a', 'The Bells'),
  { type: 'publishVersion', versionHash: 'a'.repeat(64) },
  draft('b', 'The Bells, mended'),
  { type: 'publishVersion', versionHash: 'b'.repeat(64) },
  { type: 'retireVersion', versionHash: 'b'.repeat(64) },
  { type: 'retireVersion', versionHash: 'a'.repeat(64) },
];

function written(): Golden {
  let state: StoryStreamState | null = null;
  const events: StoryEvent[] = [];
  const stateHashes: string[] = [];
  commands.forEach((command, i) => {
    const decision = storyAuthoring.decide(command, state, { now: 1_000 * i });
    if (isRejection(decision)) throw new Error(decision.message);
    for (const event of decision) {
      state = applyRecordedStory(state, event);
      events.push(event);
      stateHashes.push(storyStateHash(state));
    }
  });
  return { events, stateHashes };
}

if (process.env['FABULA_TEST_WRITE_GOLDEN'] !== undefined) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'story-v1.json'), `${JSON.stringify(written(), null, 2)}\n`);
}

const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
const read = (file: string): Golden => JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as Golden;

function hashesOf(golden: Golden, catalogue?: ReadonlyMap<string, EventSchema>): readonly string[] {
  let state: StoryStreamState | null = null;
  return golden.events.map((event) => {
    state = applyRecordedStory(state, event, catalogue);
    return storyStateHash(state);
  });
}

describe('story streams written by earlier versions', () => {
  it.each(files)('%s folds to the states it was written with', (file) => {
    const golden = read(file);
    expect(hashesOf(golden)).toEqual(golden.stateHashes);
    expect(golden.events.length).toBeGreaterThan(0);
  });

  it('hold every event type in every version', () => {
    const held = new Set(files.flatMap((file) => read(file).events.map((event) => `${event.type} v${event.v}`)));
    const known = [...authoringEvents].flatMap(([type, { version }]) => Array.from({ length: version }, (_, i) => `${type} v${i + 1}`));
    expect([...held].sort()).toEqual(known.sort());
  });

  it("are still written by today's decisions, event for event", () => {
    expect(written()).toEqual(read('story-v1.json'));
  });

  it('are brought to newer versions by upcasters, and refused when newer than this build', () => {
    const later = new Map<string, EventSchema>(authoringEvents);
    later.set('StoryVersionPublished', { version: 2, upcasters: [(event) => ({ ...event, v: 2, channel: 'all' })] });
    const golden = read('story-v1.json');
    expect(hashesOf(golden, later)).toEqual(golden.stateHashes);
    const [first, second] = golden.events as [RecordedEvent, RecordedEvent];
    expect(() => applyRecordedStory(null, { ...first, v: 2 })).toThrow(UnknownEvent);
    expect(() => applyRecordedStory(null, second)).toThrow(BrokenStoryFold);
    expect(() => applyRecordedStory(null, { ...first, title: 'Forged' })).toThrow(BrokenStoryFold);
  });
});
