import { canonicalStory, storyHash, type Choice, type Passage, type Story } from '#lib/story';

const choice = (id: string, target: Choice['target'], more: Partial<Choice> = {}): Choice => {
  return { id, label: id, repeat: 'sticky', kind: 'normal', effects: [], target, ...more };
};
const passage = (...choices: readonly Choice[]): Passage => {
  return { title: 'A room', tags: [], text: [{ text: 'Somewhere.' }], effects: [], priority: 0, choices };
};

/** Small, without an end unless one is chosen: steps, draws, a timed choice (1 s), a lock, an ending. */
const story: Story = {
  fabula: 1,
  id: 'sim',
  title: 'Simulated',
  language: 'en',
  start: 'hall',
  variables: {
    steps: { type: 'int', public: true, min: 0, max: 1_000_000, default: 0 },
    die: { type: 'int', public: true, min: 1, max: 6, default: 1 },
  },
  passages: {
    hall: passage(
      choice('walk', { passage: 'hall' }, { effects: [{ do: 'add', variable: 'steps', by: { op: 'int', value: 1 } }] }),
      choice('roll', { passage: 'hall' }, { effects: [{ do: 'draw', id: 'die', variable: 'die' }] }),
      choice('door', { passage: 'cellar' }),
      choice(
        'locked',
        { passage: 'cellar' },
        { enabledWhen: { op: '>=', left: { op: 'var', name: 'steps' }, right: { op: 'int', value: 4 } } },
      ),
      choice('leave', { end: 'out' }),
    ),
    cellar: passage(
      choice('walk', { passage: 'cellar' }),
      choice('up', { passage: 'hall' }),
      choice('dark', { passage: 'hall' }, { kind: 'timed', timeoutMs: 1_000 }),
    ),
  },
  endings: { out: { title: 'Out' } },
};

export const STORY_HASH = storyHash(story);
export const STORY_TEXT = canonicalStory(story);
export const STORY_ID = story.id;
