/*
 * The `story/<id>` stream: which versions of a story there are, and which one new readers get. Content lies elsewhere, under its hash.
 * The types below are the storage format: a change needs a new version of the event and an upcaster. Type aliases, not interfaces: only these
 * count as JSON for the compiler.
 */

export type StoryFormat = 'json' | 'yaml' | 'twee' | 'twine-html' | 'ink';
export type VersionStatus = 'draft' | 'published' | 'retired';

export type StoryVersion = {
  /** SHA-256 of the content's canonical JSON. */
  readonly hash: string;
  readonly lintErrors: number;
  readonly status: VersionStatus;
  readonly title: string;
};

/** Everything about one story's versions; pure function of its events. */
export type StoryStreamState = {
  /** The version that new playthroughs start on: the last one published that is not retired. */
  readonly current: string | null;
  readonly id: string;
  readonly lastAt: number;
  /** In the order of their last change, newest last. */
  readonly versions: readonly StoryVersion[];
};

/**
 * So that the state stays below 64 KiB. Beyond it the oldest draft is forgotten, or else the oldest retired version (importing it again brings
 * either back); with so many published, a new draft is refused until one is retired.
 */
export const MAX_VERSIONS = 64;
export const MAX_TITLE = 200;

export type StoryCommand =
  | {
      readonly type: 'draftVersion';
      readonly storyId: string;
      readonly versionHash: string;
      readonly title: string;
      readonly format: StoryFormat;
      /** Findings of the lint at import; a version with errors cannot be published. */
      readonly lintErrors: number;
      readonly lintWarnings: number;
      readonly passages: number;
    }
  | { readonly type: 'publishVersion'; readonly versionHash: string }
  | { readonly type: 'retireVersion'; readonly versionHash: string };

export interface StoryContext {
  /** max(clock, the stream's last `at`). */
  readonly now: number;
}

export type StoryRejectionCode = 'VERSION_NOT_FOUND' | 'STORY_NOT_FOUND' | 'BAD_INPUT' | 'STORY_RETIRED';

type About = {
  readonly v: 1;
  readonly storyId: string;
  readonly versionHash: string;
  readonly title: string;
  readonly at: number;
  /** SHA-256 of the stream's state after the event. */
  readonly stateHash: string;
};

export type StoryVersionDrafted = About & {
  readonly type: 'StoryVersionDrafted';
  readonly format: StoryFormat;
  readonly lintErrors: number;
  readonly lintWarnings: number;
  readonly passages: number;
};
/** From here on new playthroughs start on this version. */
export type StoryVersionPublished = About & {
  readonly type: 'StoryVersionPublished';
  /** What new playthroughs started on before. */
  readonly replaces: string | null;
};
/** No new playthroughs start on this version; running ones go on. */
export type StoryVersionRetired = About & {
  readonly type: 'StoryVersionRetired';
  /** What new playthroughs start on now; null: the story takes no new readers. */
  readonly current: string | null;
};

export type StoryEvent = StoryVersionDrafted | StoryVersionPublished | StoryVersionRetired;

/** Stream of a story. Ids may hold spaces, stream names may not; no story id holds a `+`. */
export const storyStream = (storyId: string): string => `story/${storyId.replaceAll(' ', '+')}`;
