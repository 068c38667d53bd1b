import type { AcceptedCommand, StreamHead, StreamId } from '#lib/decision';
import type { LogId } from '#lib/log';
import type { Leaf } from '../leaf.js';
import type { LogName } from '../log-name.js';
import { headFromLeaves } from '../stream-heads.js';
import type { Hash } from '../tlog/index.js';

/** Leaves are pruned by whole blocks: a tile of entries, and a block of terms. */
export const PRUNE_BLOCK = 256n;

/**
 * Where a tree's leaves begin to be all there: below `size` some were pruned. All hashes stay, so every proof does. Primary data, as notes
 * are: whoever builds the tree again begins here.
 */
export interface TreeBase {
  readonly log: LogName;
  readonly logId: LogId;
  /** A multiple of 256, at most the newest signed size. */
  readonly size: bigint;
  /** First offset of the event log that is not below it. */
  readonly nextOffset: number;
  /** Hashes of `cover(0, size)`. */
  readonly frontier: readonly Hash[];
  /** Hash of leaf `size - 1`. */
  readonly previousLeaf: Hash;
}

/** What a stream's accepted leaves below the base said: verdicts of later records depend on it. */
export interface StreamBase {
  readonly stream: StreamId;
  readonly head: StreamHead;
  /** Of its first accepted record. */
  readonly firstOffset: number;
  /** The version of a story that its records named last. */
  readonly versionHash: string | null;
}

/** How far the leaves of one retention class were pruned. */
export interface PrunedClass {
  readonly log: LogName;
  readonly retention: string;
  /** Leaves of the class with a smaller index are gone. */
  readonly below: bigint;
  /** How many, over all prunings. */
  readonly leaves: number;
  /** The last action that two people approved. */
  readonly action: string;
}

/** One step of a pruning: all of it or nothing is kept. */
export interface PruneStep {
  /** The base after it; undefined: it stays where it is. */
  readonly base: TreeBase | undefined;
  /** Of every stream with an accepted leaf between the old base and the new one. */
  readonly streams: readonly StreamBase[];
  /** Indexes of the leaves that go. */
  readonly leaves: readonly bigint[];
  /** Of blocks with such leaves: what they say about terms goes too, their hashes stay. */
  readonly blocks: readonly bigint[];
  readonly pruned: PrunedClass;
}

/** Asked for leaves that were pruned. */
export class LeavesPruned extends Error {
  override readonly name = 'LeavesPruned';
  constructor(
    readonly log: LogName,
    /** From there on every leaf is kept. */
    readonly base: bigint,
  ) {
    super(`leaves of ${log} below ${base} were pruned; from ${base} on all are kept`);
  }
}

/** Says that the leaf may be missing because it was pruned; undefined: it must be there. */
export async function prunedBelow(
  store: { bases(logId: LogId): Promise<readonly TreeBase[]> },
  logId: LogId,
  log: LogName,
  index: bigint,
): Promise<LeavesPruned | undefined> {
  const base = (await store.bases(logId)).find((one) => one.log === log);
  return base === undefined || index >= base.size ? undefined : new LeavesPruned(log, base.size);
}

/** A stream's base carried over one more run of its accepted leaves. */
export function carryOver(
  before: StreamBase | undefined,
  stream: StreamId,
  leaves: readonly { readonly offset: number; readonly bytes: Buffer }[],
): StreamBase {
  const [first] = leaves;
  let versionHash = before?.versionHash ?? null;
  for (const { bytes } of leaves) versionHash = versionNamed(bytes) ?? versionHash;
  const head = headFromLeaves(
    leaves.map(({ bytes }) => bytes),
    before?.head,
  );
  return { stream, head, firstOffset: before?.firstOffset ?? first?.offset ?? 0, versionHash };
}

/** The version of a story that a leaf's events name last. */
export function versionNamed(bytes: Buffer): string | null {
  if (!bytes.includes('"versionHash":"')) return null;
  const { events = [] } = JSON.parse(bytes.toString('utf8')) as Leaf;
  const hash = events.findLast(({ versionHash }) => typeof versionHash === 'string')?.versionHash;
  return typeof hash === 'string' ? hash : null;
}

/** The window as it is stored. */
export const windowToJson = (window: readonly AcceptedCommand[]): string =>
  JSON.stringify(window.map(({ commandId, commandDigest, version, offset }) => [commandId, commandDigest, version, offset]));
/** @throws TypeError when the text is no window */
export function windowFromJson(stored: unknown): readonly AcceptedCommand[] {
  if (!Array.isArray(stored)) throw new TypeError('what is kept of a stream is no window');
  return stored.map((one: unknown): AcceptedCommand => {
    const [commandId, commandDigest, version, offset] = Array.isArray(one) ? (one as unknown[]) : [];
    if (typeof commandId !== 'string' || typeof commandDigest !== 'string' || typeof version !== 'number' || typeof offset !== 'number')
      throw new TypeError('what is kept of a stream is no window');
    return { commandId, commandDigest, version, offset };
  });
}
