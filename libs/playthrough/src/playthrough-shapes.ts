import { eventShape, shapes, type EventShapes, type Shape } from '#lib/decision';
import type { Value } from '#lib/story';
import type {
  Change,
  CheckpointSet,
  ChoiceMade,
  Draw,
  OfferedChoice,
  PlaythroughEnded,
  PlaythroughEvent,
  PlaythroughStarted,
  Rewound,
  TimedOut,
  WhatIfForked,
} from './playthrough-events.js';
import { MAX_RETURN_DEPTH, type NarrativeState, type ReaderCheckpoint, type SealedText } from './playthrough-state.js';

/*
 * The storage format of a playthrough's stream, field by field: the JSON Schemas in `schemas/events` are made of it, and every event is
 * checked against it before it is appended. What has been released is never changed; docs/how-to/evolve-events.md says how to go on instead.
 * Lists and maps whose length the story's own limits bound have no bound here, so that those limits may grow.
 */

const { about, anyOf, constant, integer, list, map, nullable, object, oneOf, optional, sha256Shape, text, truth } = shapes;

const name = text({ max: 120 });
const playthroughId = text({ max: 200 });
const passageId = about("Id of a passage: the author's, stable.", name);
const choiceId = about('Id of a choice within its passage; `storylet:<passage>` where a hub offered a storylet.', text({ max: 130 }));
const storyId = about('Id of the story.', text({ max: 120, pattern: /^[A-Za-z0-9][A-Za-z0-9_.-]*$/ }));
const versionHash = about('Content hash of the story version that the playthrough is pinned to.', sha256Shape());
const semantics = about("Version of the engine's own semantics: draws, clamping, order of effects.", constant(1));
const seed = about('With it, every draw can be derived again.', text({ min: 32, max: 32, pattern: /^[0-9a-f]{32}$/ }));
const reader = about('Pseudonym of the reader whom it belongs to.', text({ max: 200 }));
const at = about('When, in ms since the epoch; never decreases within a stream.', integer());
const deadline = about('When the timed choice of the passage is taken, ms since the epoch; null when it has none.', nullable(integer()));
const stateHash = about('SHA-256 of the state after this event, by which every fold is checked.', sha256Shape());
const turn = about('Turn that this event led to.', integer());
const variableName = text({ max: 64, pattern: /^[A-Za-z_][A-Za-z0-9_]*$/ });
const value: Shape<Value> = about(
  "A variable's value: bool, int, member of an enum, or the sorted members of a set.",
  anyOf<Value>(truth, integer(-Number.MAX_SAFE_INTEGER), name, list(name)),
);

const draws = about(
  'Random results, as they fell.',
  list(
    object<Draw>({
      id: about('The effect that drew.', text({ max: 256 })),
      n: about('How many draws the playthrough had made before: with seed and id it is the key of the draw.', integer()),
      result: value,
    }),
  ),
);
const returnTo = about('Passages to come back to from storylets, innermost last.', list(passageId, MAX_RETURN_DEPTH));
const narrative: Shape<NarrativeState> = about(
  'The whole narrative state, so that folding needs no history.',
  object<NarrativeState>({
    passageId,
    variables: map(variableName, value),
    visits: about('How often each passage was entered.', map(name, integer())),
    chosen: about('How often each choice was taken, by `passage/choice`.', map(text({ max: 260 }), integer())),
    returnTo,
    draws: about('How many draws were made.', integer()),
    ending: nullable(name),
  }),
);

/** What one move did, whoever caused it. */
const move = {
  turn,
  storyId,
  versionHash,
  semantics,
  fromPassageId: passageId,
  choiceId,
  offered: about(
    'What stood before the reader, in order, hidden choices too.',
    list(
      object<OfferedChoice>({
        choiceId,
        visible: truth,
        enabled: truth,
        failed: optional(about('The part of the guard that failed, when it was locked or hidden.', text({ min: 0, max: 200 }))),
      }),
    ),
  ),
  guardInputs: about('Variables that the guards of the taken choice read.', map(variableName, value)),
  changes: about('Net change of each variable.', list(object<Change>({ name: variableName, from: value, to: value }))),
  draws,
  toPassageId: about('Where the reader stands now; as before when the choice ended the story in place.', name),
  entered: about('Whether that passage was entered by this move.', truth),
  returnTo,
  at,
  deadline,
  stateHash,
};

const base64url = (max: number): Shape<string> => text({ min: 0, max, pattern: /^[A-Za-z0-9_-]*$/ });
const sealed = object<SealedText>({
  alg: oneOf('A256GCM'),
  kid: about('Which key of which subject.', text({ max: 500 })),
  iv: base64url(32),
  ct: base64url(1_200),
  tag: base64url(32),
});

const versions = {
  PlaythroughStarted: [
    eventShape<PlaythroughStarted>('PlaythroughStarted', 1, "First event of a reader's playthrough.", {
      playthroughId,
      storyId,
      versionHash,
      semantics,
      seed,
      reader,
      preview: about('An author tries the story out: counts in no statistics.', truth),
      draws,
      narrative,
      at,
      deadline,
      stateHash,
    }),
  ],
  ChoiceMade: [
    eventShape<ChoiceMade>('ChoiceMade', 1, 'The reader took a choice.', {
      ...move,
      ordinal: about('Position among the visible offers; for people, never a key.', integer()),
      labelHash: about('SHA-256 of the label shown.', sha256Shape()),
      decisionMs: about('How long the reader took.', integer()),
    }),
  ],
  TimedOut: [eventShape<TimedOut>('TimedOut', 1, 'The timed choice was taken because nobody chose before its deadline.', move)],
  PlaythroughEnded: [
    eventShape<PlaythroughEnded>('PlaythroughEnded', 1, 'An ending was reached; travels with the event that led there.', {
      turn,
      passageId,
      ending: about('Id of the ending.', name),
      at,
      stateHash,
    }),
  ],
  Rewound: [
    eventShape<Rewound>('Rewound', 1, 'The reader went back. Nothing is deleted: a turn more, in the state of an earlier one.', {
      turn,
      toTurn: about('The turn whose narrative state holds again.', integer()),
      narrative,
      at,
      deadline,
      stateHash,
    }),
  ],
  WhatIfForked: [
    eventShape<WhatIfForked>('WhatIfForked', 1, "First event of a what-if's own stream: it never counts in statistics.", {
      playthroughId,
      from: about('Where it branched off.', object<WhatIfForked['from']>({ playthroughId, turn: integer() })),
      storyId,
      versionHash,
      semantics,
      seed,
      reader,
      narrative,
      at,
      deadline,
      stateHash,
    }),
  ],
  CheckpointSet: [
    eventShape<CheckpointSet>('CheckpointSet', 1, 'The reader set a bookmark.', {
      turn,
      checkpoint: object<ReaderCheckpoint>({
        name: about("The reader's words, sealed under the reader's key; all fields base64url.", sealed),
        mark: about('Keyed hash of the name: equal names have equal marks.', text({ max: 500 })),
        turn: about('The turn it marks.', integer()),
      }),
      at,
      stateHash,
    }),
  ],
} satisfies { readonly [type in PlaythroughEvent['type']]: readonly Shape[] };

/** The shape of every version of every event of a playthrough's stream. */
export const playthroughShapes: EventShapes = new Map(
  Object.entries(versions).map(([type, known]) => [type, { written: 1, versions: known }]),
);
