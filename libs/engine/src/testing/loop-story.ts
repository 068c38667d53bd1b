import { canonicalStory, storyHash, type Choice, type Passage, type Story } from '#lib/story';

const choice = (id: string, target: Choice['target'], more: Partial<Choice> = {}): Choice => ({
  id,
  label: id,
  repeat: 'sticky',
  kind: 'normal',
  effects: [],
  target,
  ...more,
});
const passage = (choices: readonly Choice[]): Passage => ({
  title: 'A room',
  tags: [],
  text: [{ text: 'You are somewhere.' }],
  effects: [],
  priority: 0,
  choices,
});

/** A story that can go on for ever, with a draw, a timed choice (5 s) and an ending. */
export const loopStory: Story = {
  fabula: 1,
  id: 'loop',
  title: 'The loop',
  language: 'en',
  start: 'hall',
  variables: {
    steps: { type: 'int', public: true, min: 0, max: 1_000_000, default: 0 },
    die: { type: 'int', public: true, min: 1, max: 6, default: 1 },
  },
  passages: {
    hall: passage([
      choice('walk', { passage: 'hall' }, { effects: [{ do: 'add', variable: 'steps', by: { op: 'int', value: 1 } }] }),
      choice('roll', { passage: 'hall' }, { effects: [{ do: 'draw', id: 'die', variable: 'die' }] }),
      choice('door', { passage: 'cellar' }),
      choice('leave', { end: 'out' }),
    ]),
    cellar: passage([choice('up', { passage: 'hall' }), choice('dark', { passage: 'hall' }, { kind: 'timed', timeoutMs: 5_000 })]),
  },
  endings: { out: { title: 'Out' } },
};
export const loopHash = storyHash(loopStory);
export const loopText = canonicalStory(loopStory);
