import type { Choice, Passage, Story } from '#lib/story';

const choice = (id: string, target: Choice['target'], more: Partial<Choice> = {}): Choice => {
  return { id, label: id, repeat: 'sticky', kind: 'normal', effects: [], target, ...more };
};
const room = (title: string, ...choices: readonly Choice[]): Passage => {
  return { title, tags: [], text: [{ text: `You are in the ${title}.` }], effects: [], priority: 0, choices };
};

/** Has an end for those who want it, and otherwise none: steps, draws, a timed choice (1 s), a lock. */
export const chaosStory: Story = {
  fabula: 1,
  id: 'chaos',
  title: 'The long corridor',
  language: 'en',
  start: 'hall',
  variables: {
    steps: { type: 'int', public: true, min: 0, max: 1_000_000, default: 0 },
    die: { type: 'int', public: true, min: 1, max: 6, default: 1 },
  },
  passages: {
    hall: room(
      'hall',
      choice('walk', { passage: 'hall' }, { effects: [{ do: 'add', variable: 'steps', by: { op: 'int', value: 1 } }] }),
      choice('roll', { passage: 'hall' }, { effects: [{ do: 'draw', id: 'die', variable: 'die' }] }),
      choice('down', { passage: 'cellar' }),
      choice(
        'vault',
        { passage: 'cellar' },
        { enabledWhen: { op: '>=', left: { op: 'var', name: 'steps' }, right: { op: 'int', value: 900_000 } }, reason: 'It is locked.' },
      ),
      choice('leave', { end: 'out' }),
    ),
    cellar: room(
      'cellar',
      choice('walk', { passage: 'cellar' }),
      choice('up', { passage: 'hall' }),
      choice('dark', { passage: 'hall' }, { kind: 'timed', timeoutMs: 1_000 }),
    ),
  },
  endings: { out: { title: 'Out' } },
};

/** What a device picks in which passage, by weight: mostly what goes on. */
export const CHOICES: { readonly [passage: string]: { readonly [choiceId: string]: number } } = {
  hall: { walk: 12, roll: 5, down: 2, vault: 1, nowhere: 1 },
  cellar: { walk: 5, up: 5, nowhere: 1 },
};
