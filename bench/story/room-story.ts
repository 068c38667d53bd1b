import {
  canonicalStory,
  compileStory,
  parseExpression,
  type Choice,
  type CompiledStory,
  type Expression,
  type Passage,
  type Story,
} from '#lib/story';

/** Rooms of the story; each has a text with a condition and a value in it, and four choices of which two are guarded. */
export const ROOMS = 50;
const left = (room: number): number => (room * 7 + 1) % ROOMS;
const right = (room: number): number => (room * 3 + 2) % ROOMS;
const down = (room: number): number => (room * 11 + 5) % ROOMS;
const PROSE =
  'Shelves lean together here like old friends after a long evening, and something between them is humming a tune that you almost know.';

/** A story that hardly ever ends, generated: the same one for Fabula and, as ink source, for inkjs. */
export const roomStory: Story = {
  fabula: 1,
  id: 'rooms',
  title: 'The rooms',
  language: 'en',
  start: id(0),
  variables: {
    gold: { type: 'int', public: true, min: 0, max: 1_000_000, default: 1 },
    lamp: { type: 'bool', public: true, default: false },
  },
  passages: Object.fromEntries(Array.from({ length: ROOMS }, (_, room) => [id(room), passage(room)])),
  endings: { out: { title: 'Out' } },
};
export const roomStoryText = canonicalStory(roomStory);
export const compiledRooms: CompiledStory = compileStory(roomStory);

/** Two choices that every room offers: a client that alternates between them needs to know nothing else. */
export const choiceAt = (turn: number): string => (turn % 3 === 1 ? 'right' : 'left');

function id(room: number): string {
  return `room_${room}`;
}

function guard(text: string): Expression {
  const parsed = parseExpression(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.problem.message}`);
  return parsed.expression;
}

function choice(name: string, target: number, more: Partial<Choice>): Choice {
  return {
    id: name,
    label: `${name} to room ${target}`,
    repeat: 'sticky',
    kind: 'normal',
    effects: [],
    target: { passage: id(target) },
    ...more,
  };
}

function passage(room: number): Passage {
  return {
    title: `Room ${room}`,
    tags: [],
    text: [
      { text: `Room ${room}. ${PROSE} You carry {{gold}} coins.` },
      { text: ' The lamp burns.', when: guard('lamp') },
      { text: ' You remember this place.', when: guard(`visits('${id(room)}') > 1`) },
    ],
    effects: [],
    priority: 0,
    choices: [
      choice('left', left(room), { effects: [{ do: 'add', variable: 'gold', by: guard('1') }] }),
      choice('right', right(room), { effects: [{ do: 'set', variable: 'lamp', to: guard('!lamp') }] }),
      choice('down', down(room), { visibleWhen: guard('gold >= 5 && lamp'), effects: [{ do: 'add', variable: 'gold', by: guard('-3') }] }),
      choice('back', left(right(room)), { visibleWhen: guard(`visits('${id(room)}') > 2 && gold % 2 == 0 || gold > 40`) }),
      ...(room === 0 ? [choice('leave', 0, { label: 'leave', visibleWhen: guard('gold >= 900'), target: { end: 'out' } })] : []),
    ],
  };
}

/** The same story in ink. */
export const roomInk = `VAR gold = 1
VAR lamp = false
-> ${id(0)}
${Array.from({ length: ROOMS }, (_, room) => knot(room)).join('\n')}`;

function knot(room: number): string {
  return `=== ${id(room)} ===
Room ${room}. ${PROSE} You carry {gold} coins.{lamp: The lamp burns.}{${id(room)} > 1: You remember this place.}
+ [left to room ${left(room)}]
  ~ gold = gold + 1
  -> ${id(left(room))}
+ [right to room ${right(room)}]
  ~ lamp = not lamp
  -> ${id(right(room))}
+ {gold >= 5 && lamp} [down to room ${down(room)}]
  ~ gold = gold - 3
  -> ${id(down(room))}
+ {(${id(room)} > 2 && gold % 2 == 0) || gold > 40} [back to room ${left(right(room))}]
  -> ${id(left(right(room)))}
${room === 0 ? '+ {gold >= 900} [leave]\n  -> END\n' : ''}`;
}
