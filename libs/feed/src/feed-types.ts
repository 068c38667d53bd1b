/*
 * Every type of event that the public feed knows: the contract with those who read it. docs/reference/asyncapi.yaml is made from this table.
 * Within a `.v1` fields may be added, never taken away or given another meaning; anything else is a `.v2` beside it.
 */

/** As much of JSON Schema (2020-12) as the feed needs. */
export type Schema = {
  readonly type: 'object' | 'string' | 'integer' | readonly ['string', 'null'];
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly required?: readonly string[];
  readonly properties?: { readonly [name: string]: Schema };
};

export interface FeedType {
  readonly title: string;
  readonly summary: string;
  readonly data: Schema;
}

/** Longest name or id that the feed carries, in UTF-16 units. */
export const MAX_NAME = 200;

const text = (description: string, more: Partial<Schema> = {}): Schema => ({ type: 'string', description, ...more });
const name = (description: string): Schema => text(description, { minLength: 1, maxLength: MAX_NAME });
const hash = (description: string): Schema => text(description, { pattern: '^[0-9a-f]{64}$' });
const count = (description: string): Schema => ({ type: 'integer', description, minimum: 0 });
const object = (properties: { readonly [name: string]: Schema }, optional: readonly string[] = []): Schema => ({
  type: 'object',
  required: Object.keys(properties).filter((property) => !optional.includes(property)),
  properties,
});

const playthrough = {
  playthroughId: name('The playthrough; also the message key, after `playthrough/`'),
  storyId: name('The story'),
  versionHash: hash('Content hash of the story version that it is played on'),
  mode: text('`play` counts in statistics; previews of authors and what-ifs (forks that try something out) do not', {
    enum: ['play', 'preview', 'what-if'],
  }),
  reader: text(
    'Tells readers of one story apart, so that distinct ones can be counted: a keyed digest of reader and story. Another one in each story, and nothing leads back from it',
    { pattern: '^[A-Za-z0-9_-]{22}$' },
  ),
};
const turn = count('Turn after the event; only grows');
const moved = {
  ...playthrough,
  turn,
  fromPassageId: name('Where the reader stood'),
  choiceId: name("The choice that was taken: the author's id, unique within the passage"),
  toPassageId: name('Where the reader stands now; the same passage when the choice ended the story in place'),
};
const version = { storyId: name('The story'), versionHash: hash('Content hash of the version') };

export const FEED_TYPES = {
  'fabula.playthrough.started.v1': {
    title: 'Playthrough started',
    summary: 'A reader began a story.',
    data: object({ ...playthrough, turn, passageId: name('Where the story begins') }),
  },
  'fabula.playthrough.what-if-forked.v1': {
    title: 'What-if forked',
    summary: 'A reader tries from a past turn what else might have happened; first event of a playthrough of its own.',
    data: object({
      ...playthrough,
      turn,
      passageId: name('Where the what-if begins'),
      fromPlaythroughId: name('The playthrough that it was forked from'),
    }),
  },
  'fabula.playthrough.choice-made.v1': { title: 'Choice made', summary: 'A reader took a choice.', data: object(moved) },
  'fabula.playthrough.timed-out.v1': {
    title: 'Timed out',
    summary: 'Nobody chose before the deadline, so the timed choice was taken.',
    data: object(moved),
  },
  'fabula.playthrough.ended.v1': {
    title: 'Playthrough ended',
    summary: 'The story came to an ending. A rewind may still lead back into it.',
    data: object({ ...playthrough, turn, passageId: name('Where the story ended'), ending: name("The ending: the author's id") }),
  },
  'fabula.playthrough.rewound.v1': {
    title: 'Rewound',
    summary: 'A reader went back to a past turn. What was played since stays in the feed.',
    data: object({ ...playthrough, turn, toTurn: count('The turn that was gone back to'), passageId: name('Where the reader stands now') }),
  },
  'fabula.playthrough.checkpoint-set.v1': {
    title: 'Checkpoint set',
    summary: 'A reader marked a turn. The name of the mark is private and not told.',
    data: object({ ...playthrough, turn }),
  },
  'fabula.story.version-drafted.v1': {
    title: 'Story version drafted',
    summary: 'A version of a story was imported. Its title is told when it is published.',
    data: object({ ...version, format: name('What it was imported from'), passages: count('How many passages it has') }),
  },
  'fabula.story.version-published.v1': {
    title: 'Story version published',
    summary: 'From here on new readers start on this version.',
    data: object({
      ...version,
      title: text("The story's title", { maxLength: MAX_NAME }),
      replaces: { type: ['string', 'null'], description: 'The version that new readers started on before' },
    }),
  },
  'fabula.story.version-retired.v1': {
    title: 'Story version retired',
    summary: 'No new readers start on this version; those who are on it go on.',
    data: object({
      ...version,
      title: text("The story's title", { maxLength: MAX_NAME }),
      current: { type: ['string', 'null'], description: 'The version that new readers start on now; null: the story takes none' },
    }),
  },
  'fabula.stream.undescribed.v1': {
    title: 'Event that this publisher cannot describe',
    summary:
      'Something was accepted that this version of the publisher does not know, or that is malformed. It stands in its place in the order, so that nothing is left out silently.',
    data: object(
      {
        reason: text('Why it is not described', { enum: ['unknown-event', 'malformed', 'no-beginning'] }),
        eventType: text('Type of the recorded event, when it is a plain word', { pattern: '^[A-Za-z][A-Za-z0-9]{0,63}$' }),
        eventVersion: count('Version of the recorded event'),
      },
      ['eventType'],
    ),
  },
  'fabula.feed.heartbeat.v1': {
    title: 'Heartbeat of a partition',
    summary:
      'Nothing happens in this partition, and everything up to `time` has been published: an idle partition need not hold back the event time of those who read all of them. Has no key and no sequence.',
    data: object({
      partition: count('Partition of topic and log'),
      nextOffset: count('Everything accepted before this offset of the log has been published'),
    }),
  },
} as const satisfies { readonly [type: `fabula.${string}`]: FeedType };

export type FeedTypeName = keyof typeof FEED_TYPES;
export const HEARTBEAT: FeedTypeName = 'fabula.feed.heartbeat.v1';
