import { sha256Hex } from '#lib/canonical';
import {
  authoringEvents,
  storyAuthoring,
  storyStateFromJson,
  storyStateToJson,
  storyStream,
  type StoryEvent,
  type StoryStreamState,
  type StoryVersion,
} from '#lib/authoring';
import type { StoryRow, StoryVersionRow } from './read-model.js';
import { StateDiffers, type StreamKind } from './stream-kind.js';

/** The catalogue: stories and their versions. */
export const storyKind: StreamKind<StoryStreamState> = {
  catalogue: authoringEvents,
  stateFromJson: storyStateFromJson,
  fold(before, record, recorded) {
    const versions: StoryVersionRow[] = [];
    let after = before;
    let recordedHash: string | undefined;
    for (const event of recorded as unknown as readonly StoryEvent[]) {
      const next = storyAuthoring.evolve(after, event);
      if (next === null) throw new StateDiffers(`${event.type} cannot begin a story`);
      versions.push(...versionRows(after, next, event));
      after = next;
      recordedHash = event.stateHash;
    }
    if (after === null) throw new StateDiffers('a record without events');
    const state = after;
    const json = storyStateToJson(state);
    if (sha256Hex(json) !== recordedHash) throw new StateDiffers('the state after the last event is not the recorded one');
    if (record.stream !== storyStream(state.id)) throw new StateDiffers(`the events are of story ${state.id}`);
    return {
      after: state,
      json,
      keep(rows) {
        rows.story(storyRow(state));
        for (const row of versions) rows.storyVersion(row);
      },
    };
  },
};

/** The version that the event names, and drafts that gave way to it. */
function versionRows(before: StoryStreamState | null, after: StoryStreamState, event: StoryEvent): readonly StoryVersionRow[] {
  const named = after.versions.find((version) => version.hash === event.versionHash);
  if (named === undefined) throw new StateDiffers(`${event.type} names a version that the story does not have`);
  const forgotten = (before?.versions ?? []).filter((version) => !after.versions.some((other) => other.hash === version.hash));
  return [
    {
      ...unchanged(after, named, event.at),
      status: named.status,
      ...(event.type === 'StoryVersionDrafted' && {
        lintWarnings: event.lintWarnings,
        format: event.format,
        passages: event.passages,
        draftedAt: event.at,
      }),
      ...(event.type === 'StoryVersionPublished' && { publishedAt: event.at }),
      ...(event.type === 'StoryVersionRetired' && { retiredAt: event.at }),
    },
    ...forgotten.map((version) => ({ ...unchanged(after, version, event.at), status: 'forgotten' as const })),
  ];
}

function unchanged(state: StoryStreamState, version: StoryVersion, at: number): Omit<StoryVersionRow, 'status'> {
  return {
    storyId: state.id,
    versionHash: version.hash,
    title: version.title,
    lintErrors: version.lintErrors,
    lintWarnings: null,
    format: null,
    passages: null,
    draftedAt: null,
    publishedAt: null,
    retiredAt: null,
    updatedAt: at,
  };
}

function storyRow(state: StoryStreamState): StoryRow {
  const shown = state.versions.find((version) => version.hash === state.current) ?? state.versions.at(-1);
  return { id: state.id, currentVersion: state.current, title: shown?.title ?? '', updatedAt: state.lastAt };
}
