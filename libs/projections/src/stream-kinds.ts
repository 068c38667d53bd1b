import type { StreamId } from '#lib/decision';
import { complianceKind } from './fold-compliance.js';
import { logKind } from './fold-log-stream.js';
import { playthroughKind } from './fold-playthrough.js';
import { storyKind } from './fold-story.js';
import { streamType, UnknownStreamType, type StreamKind } from './stream-kind.js';

/** Kinds by stream type. States are opaque outside: only the stream's own kind looks inside. */
export type StreamKinds = ReadonlyMap<string, StreamKind<unknown>>;

/** What this build can fold. */
export const STREAM_KINDS: StreamKinds = new Map<string, StreamKind<unknown>>([
  ['playthrough', playthroughKind as StreamKind<unknown>],
  ['story', storyKind as StreamKind<unknown>],
  ['compliance', complianceKind as StreamKind<unknown>],
  ['log', logKind as StreamKind<unknown>],
]);

/** @throws UnknownStreamType */
export function kindOf(kinds: StreamKinds, stream: StreamId): StreamKind<unknown> {
  const kind = kinds.get(streamType(stream));
  if (kind === undefined) throw new UnknownStreamType(`streams of type ${streamType(stream)} are not known to this version of Fabula`);
  return kind;
}
