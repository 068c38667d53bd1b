import { canonicalJson, sha256Hex, type Json } from '#lib/canonical';
import { checkedFold, upcast, type Decider, type EventSchema, type RecordedEvent, type Rejection } from '#lib/decision';
import { isStoryId } from '#lib/story';
import {
  MAX_TITLE,
  MAX_VERSIONS,
  type StoryCommand,
  type StoryContext,
  type StoryEvent,
  type StoryRejectionCode,
  type StoryStreamState,
  type StoryVersion,
} from './story-stream.js';

type Unhashed<E extends StoryEvent = StoryEvent> = E extends StoryEvent ? Omit<E, 'stateHash'> : never;
type Refusal = Rejection<StoryRejectionCode>;
type Draft = Extract<StoryCommand, { type: 'draftVersion' }>;

const HEX_64 = /^[0-9a-f]{64}$/;
const formats: ReadonlySet<unknown> = new Set(['json', 'yaml', 'twee', 'twine-html', 'ink']);

/** Behaviour of the `story/<id>` streams. */
export const storyAuthoring: Decider<StoryStreamState | null, StoryCommand, StoryEvent, StoryContext> = {
  initial: () => null,
  decide,
  evolve,
};

/** Pure and total. An empty list: what was asked for is so already. */
function decide(command: StoryCommand, state: StoryStreamState | null, context: StoryContext): readonly StoryEvent[] | Refusal {
  const decided = unhashed(command, state, context);
  if (decided === undefined) return [];
  if ('rejected' in decided) return decided;
  const event = { ...decided, stateHash: '' };
  // What is written may be older than what is folded.
  const after = evolve(state, upcast(event, authoringEvents) as unknown as StoryEvent);
  return after === null ? [] : [{ ...event, stateHash: storyStateHash(after) }];
}

function unhashed(command: StoryCommand, state: StoryStreamState | null, context: StoryContext): Unhashed | Refusal | undefined {
  const problem = inputProblem(command);
  if (problem !== undefined) return problem;
  const at = Math.max(context.now, state?.lastAt ?? 0);
  if (command.type === 'draftVersion') return drafted(command, state, at);
  if (state === null) return refused('STORY_NOT_FOUND', 'there is no such story');
  const { versionHash } = command;
  const version = state.versions.find((other) => other.hash === versionHash);
  if (version === undefined) return refused('VERSION_NOT_FOUND', 'this story has no such version; import it first', { versionHash });
  const about = { v: 1, storyId: state.id, versionHash, title: version.title, at } as const;
  if (command.type === 'publishVersion') {
    if (version.status === 'retired')
      return refused('STORY_RETIRED', 'this version is retired; import it again to publish it', { versionHash });
    if (version.lintErrors > 0) {
      return refused('BAD_INPUT', `this version has ${version.lintErrors} lint errors; publishing needs none`, {
        lintErrors: version.lintErrors,
      });
    }
    return state.current === versionHash ? undefined : { type: 'StoryVersionPublished', ...about, replaces: state.current };
  }
  if (version.status === 'retired') return undefined;
  const others = state.versions.filter((other) => other.status === 'published' && other.hash !== versionHash);
  const current = state.current === versionHash ? (others.at(-1)?.hash ?? null) : state.current;
  return { type: 'StoryVersionRetired', ...about, current };
}

function drafted(command: Draft, state: StoryStreamState | null, at: number): Unhashed | Refusal | undefined {
  const { storyId, versionHash, title, format, lintErrors, lintWarnings, passages } = command;
  if (state !== null && state.id !== storyId) return refused('BAD_INPUT', 'this stream is of another story', { field: 'storyId' });
  const known = state?.versions.find((version) => version.hash === versionHash);
  if (known !== undefined && known.status !== 'retired' && known.lintErrors === lintErrors) return undefined;
  if (known === undefined && state !== null && state.versions.length >= MAX_VERSIONS && leastNeeded(state.versions) < 0) {
    return refused('BAD_INPUT', `a story has at most ${MAX_VERSIONS} published versions; retire one first`, { limit: MAX_VERSIONS });
  }
  return { type: 'StoryVersionDrafted', v: 1, storyId, versionHash, title, at, format, lintErrors, lintWarnings, passages };
}

/** The state after an event; total: an event that cannot follow leaves it as it is. */
function evolve(state: StoryStreamState | null, event: StoryEvent): StoryStreamState | null {
  const { versionHash: hash, at: lastAt, title } = event;
  if (event.type === 'StoryVersionDrafted') {
    const before = state?.versions.find((version) => version.hash === hash);
    // A published version that is linted anew stays published: readers are on it.
    const status = before?.status === 'published' ? 'published' : 'draft';
    const versions = withRoom(state?.versions ?? [], before === undefined);
    return {
      current: state?.current ?? null,
      id: state?.id ?? event.storyId,
      lastAt,
      versions: last(versions, { hash, lintErrors: event.lintErrors, status, title }),
    };
  }
  const version = state?.versions.find((other) => other.hash === hash);
  if (state === null || version === undefined) return state;
  switch (event.type) {
    case 'StoryVersionPublished':
      return { current: hash, id: state.id, lastAt, versions: last(state.versions, { ...version, status: 'published' }) };
    case 'StoryVersionRetired':
      return { current: event.current, id: state.id, lastAt, versions: last(state.versions, { ...version, status: 'retired' }) };
    default:
      return state;
  }
}

/** The version that is forgotten first, or -1: drafts before retired ones, oldest first, published ones never. */
function leastNeeded(versions: readonly StoryVersion[]): number {
  const draft = versions.findIndex((version) => version.status === 'draft');
  return draft >= 0 ? draft : versions.findIndex((version) => version.status === 'retired');
}

function last(versions: readonly StoryVersion[], version: StoryVersion): readonly StoryVersion[] {
  return [...versions.filter((other) => other.hash !== version.hash), version];
}

function withRoom(versions: readonly StoryVersion[], forOneMore: boolean): readonly StoryVersion[] {
  if (!forOneMore || versions.length < MAX_VERSIONS) return versions;
  const forgotten = leastNeeded(versions);
  return forgotten < 0 ? versions : versions.toSpliced(forgotten, 1);
}

function inputProblem(command: unknown): Refusal | undefined {
  if (typeof command !== 'object' || command === null)
    return refused('BAD_INPUT', 'a command is an object with a type', { field: 'command' });
  const fields = command as Readonly<Record<string, unknown>>;
  const wrong = (field: string, message: string): Refusal => refused('BAD_INPUT', message, { field });
  if (typeof fields['versionHash'] !== 'string' || !HEX_64.test(fields['versionHash']))
    return wrong('versionHash', 'versionHash is a SHA-256 in hex');
  if (fields['type'] === 'publishVersion' || fields['type'] === 'retireVersion') return undefined;
  if (fields['type'] !== 'draftVersion') return wrong('type', 'there is no such command');
  if (typeof fields['storyId'] !== 'string' || !isStoryId(fields['storyId'])) return wrong('storyId', 'storyId is not a story id');
  const { title } = fields;
  if (typeof title !== 'string' || title.length > MAX_TITLE || !title.isWellFormed())
    return wrong('title', `title is text of at most ${MAX_TITLE} characters`);
  if (!formats.has(fields['format'])) return wrong('format', 'there is no such format');
  for (const field of ['lintErrors', 'lintWarnings', 'passages']) {
    if (!Number.isSafeInteger(fields[field]) || (fields[field] as number) < 0) return wrong(field, `${field} is a whole number from 0`);
  }
  return undefined;
}

function refused(rejected: StoryRejectionCode, message: string, details?: { readonly [key: string]: Json }): Refusal {
  return { rejected, message, ...(details !== undefined && { details }) };
}

/** Canonical JSON of a state. */
export const storyStateToJson = (state: StoryStreamState): string => canonicalJson(state);

/** @throws TypeError when the text is not the state of a story's stream. */
export function storyStateFromJson(text: string): StoryStreamState {
  const state = JSON.parse(text) as Partial<StoryStreamState> | null;
  if (typeof state !== 'object' || state === null || typeof state.id !== 'string' || !Array.isArray(state.versions)) {
    throw new TypeError('the text is not the state of a story');
  }
  return state as StoryStreamState;
}

export const storyStateHash = (state: StoryStreamState): string => sha256Hex(storyStateToJson(state));

/** Every event type of a story's stream with its current version and how older ones are brought there. */
export const authoringEvents: ReadonlyMap<string, EventSchema> = new Map(
  (['StoryVersionDrafted', 'StoryVersionPublished', 'StoryVersionRetired'] satisfies StoryEvent['type'][]).map((type) => [
    type,
    { version: 1, upcasters: [] },
  ]),
);

/** A recorded event does not lead to the state that was recorded with it. */
export class BrokenStoryFold extends Error {
  override readonly name = 'BrokenStoryFold';
}

/**
 * Folds a recorded event, and checks that the result is what the event says.
 * @throws UnknownEvent for a type or version of a newer Fabula; BrokenStoryFold when the state hash differs or the event cannot be folded.
 */
export function applyRecordedStory(
  state: StoryStreamState | null,
  recorded: RecordedEvent,
  catalogue: ReadonlyMap<string, EventSchema> = authoringEvents,
): StoryStreamState {
  const event = upcast(recorded, catalogue) as unknown as StoryEvent;
  return checkedFold(
    event.stateHash,
    () => evolve(state, event),
    storyStateHash,
    (what) => new BrokenStoryFold(`${event.type} ${what}`),
  );
}
