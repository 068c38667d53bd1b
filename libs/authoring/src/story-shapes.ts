import { eventShape, shapes, type EventShapes, type Shape } from '#lib/decision';
import {
  MAX_TITLE,
  type StoryEvent,
  type StoryVersionDrafted,
  type StoryVersionPublished,
  type StoryVersionRetired,
} from './story-stream.js';

/*
 * The storage format of a story's stream, field by field: the JSON Schemas in `schemas/events` are made of it, and every event is checked
 * against it before it is appended. What has been released is never changed; docs/how-to/evolve-events.md says how to go on instead.
 */

const { about, integer, nullable, oneOf, sha256Shape, text } = shapes;

const version = sha256Shape();
const fields = {
  storyId: about('Id of the story.', text({ max: 120, pattern: /^[A-Za-z0-9][A-Za-z0-9_.-]*$/ })),
  versionHash: about('Content hash of the version.', version),
  title: about('Title of the story in that version.', text({ min: 0, max: MAX_TITLE })),
  at: about('When, in ms since the epoch; never decreases within a stream.', integer()),
  stateHash: about('SHA-256 of the state after this event, by which every fold is checked.', sha256Shape()),
};

const versions = {
  StoryVersionDrafted: [
    eventShape<StoryVersionDrafted>('StoryVersionDrafted', 1, 'A version was imported, or linted anew.', {
      ...fields,
      format: about('Format that the author gave it in.', oneOf('json', 'yaml', 'twee', 'twine-html', 'ink')),
      lintErrors: about('A version with errors cannot be published.', integer()),
      lintWarnings: integer(),
      passages: about('How many passages it has.', integer()),
    }),
  ],
  StoryVersionPublished: [
    eventShape<StoryVersionPublished>('StoryVersionPublished', 1, 'From here on new playthroughs start on this version.', {
      ...fields,
      replaces: about('What new playthroughs started on before.', nullable(version)),
    }),
  ],
  StoryVersionRetired: [
    eventShape<StoryVersionRetired>('StoryVersionRetired', 1, 'No new playthroughs start on this version; running ones go on.', {
      ...fields,
      current: about('What new playthroughs start on now; null: the story takes no new readers.', nullable(version)),
    }),
  ],
} satisfies { readonly [type in StoryEvent['type']]: readonly Shape[] };

/** The shape of every version of every event of a story's stream. */
export const authoringShapes: EventShapes = new Map(
  Object.entries(versions).map(([type, known]) => [type, { written: 1, versions: known }]),
);
