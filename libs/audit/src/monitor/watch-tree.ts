import { readRootLeaf } from '../bundle/read-json.js';
import {
  checkConsistency,
  Frontier,
  leafHash,
  openTrustedNote,
  parseBase64,
  treeSize,
  type CheckpointNote,
  type Hash,
  type TrustedKey,
} from '../tlog/index.js';
import { Raised } from './alarms.js';
import type { WatchedTree } from './monitor-state.js';

/** What a monitor asks of the server: HTTP in use, anything in tests. Nothing of it is believed. */
export interface MonitorSource {
  logs(): Promise<MonitoredLogs>;
  /** Undefined: nothing of that tree is signed yet. */
  checkpoint(log: string): Promise<string | undefined>;
  /** Leaves from `from` on, at most up to `to`, at least one if there are any. */
  entries(log: string, from: bigint, to: bigint): Promise<readonly Buffer[]>;
  inclusion(log: string, index: bigint, size: bigint): Promise<{ readonly leaf: string; readonly hashes: readonly string[] }>;
  consistency(log: string, from: bigint, to: bigint): Promise<readonly string[]>;
  reconciliation(): Promise<Reconciliation>;
}

export interface MonitoredLogs {
  readonly logId: string;
  readonly logs: readonly { readonly log: string; readonly publishedAt?: string | null }[];
}

/** What the server counts of itself. */
export interface Reconciliation {
  readonly logId: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly logEnd: number;
    readonly audited: number;
    readonly projected: ({ readonly nextOffset: number } & Readonly<Record<string, number>>) | null;
  }[];
}

/** A note that the root tree holds. */
export interface RootedNote {
  readonly note: string;
  readonly size: bigint;
  readonly root: Hash;
}

/** The note's text as one signed by a trusted key for that tree. @throws Raised */
export function openedNote(text: string, keys: readonly TrustedKey[], origin: string, tree: string): CheckpointNote {
  let note: CheckpointNote;
  try {
    note = openTrustedNote(text, keys);
  } catch (error) {
    throw new Raised('BAD_SIGNATURE', `the note of ${tree}: ${error instanceof Error ? error.message : String(error)}`, {
      tree,
      notes: [text],
    });
  }
  if (note.origin !== origin)
    throw new Raised('BAD_SIGNATURE', `the note of ${tree} speaks of ${note.origin}, not of ${origin}`, { tree, notes: [text] });
  return note;
}

/**
 * Where a monitor begins: the frontier before the last leaf is the proof that it is in the tree. O(log n), whatever the history.
 * @throws Raised
 */
export async function beginAt(source: MonitorSource, tree: string, text: string, note: CheckpointNote, now: number): Promise<WatchedTree> {
  const empty = { nextOffset: 0, verdicts: {}, published: { mark: '', since: now } };
  if (note.size === 0n) return { ...empty, size: 0n, frontier: [], note: text };
  const { leaf, hashes } = await source.inclusion(tree, note.size - 1n, note.size);
  const bytes = Buffer.from(leaf, 'utf8');
  const left = hashes.map((hash) => parseBase64(hash, 32)).toReversed();
  const wrong = new Raised('ENTRIES_DIFFER', `the last leaf of ${tree} does not lead to the signed root`, { tree, notes: [text] });
  if (!left.every((hash) => hash !== undefined)) throw wrong;
  let frontier: Frontier;
  try {
    frontier = new Frontier(note.size - 1n, left);
  } catch (error) {
    if (error instanceof RangeError) throw wrong;
    throw error;
  }
  frontier.append(leafHash(bytes));
  if (!frontier.root().equals(note.root)) throw wrong;
  return { ...empty, size: note.size, frontier: frontier.hashes, note: text, nextOffset: offsetAfter(bytes, 0) };
}

/**
 * Reads the entries from where the monitor stands up to the last of these notes, and holds every note to the root that they give.
 * `seen` is told of each entry. Answers the tree as it stands then. @throws Raised
 */
export async function followed(
  source: MonitorSource,
  tree: string,
  known: WatchedTree,
  notes: readonly RootedNote[],
  seen: (entry: Buffer) => void = () => undefined,
): Promise<WatchedTree> {
  const frontier = new Frontier(known.size, known.frontier);
  const verdicts: Record<string, number> = { ...known.verdicts };
  let { nextOffset, note } = known;
  for (const wanted of notes) {
    if (wanted.size < frontier.size) continue;
    while (frontier.size < wanted.size) {
      const entries = await source.entries(tree, frontier.size, wanted.size);
      if (entries.length === 0 || BigInt(entries.length) > wanted.size - frontier.size)
        throw new Raised('ENTRIES_DIFFER', `${tree} is signed at size ${wanted.size}, but has no leaf ${frontier.size}`, {
          tree,
          notes: [wanted.note],
        });
      for (const entry of entries) {
        frontier.append(leafHash(entry));
        nextOffset = offsetAfter(entry, nextOffset);
        const verdict = verdictOf(entry);
        if (verdict !== undefined) verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
        seen(entry);
      }
    }
    if (!frontier.root().equals(wanted.root)) throw await contradiction(source, tree, known, wanted);
    note = wanted.note;
  }
  return { ...known, size: frontier.size, frontier: frontier.hashes, nextOffset, verdicts, ...(note === undefined ? {} : { note }) };
}

/** Whether the signed trees contradict each other, or only what was shown of the newer one is false. */
async function contradiction(source: MonitorSource, tree: string, known: WatchedTree, wanted: RootedNote): Promise<Raised> {
  const before = new Frontier(known.size, known.frontier);
  const notes = [known.note, wanted.note].filter((text) => text !== undefined);
  let continues = known.size === 0n;
  if (known.size > 0n && known.size < wanted.size) {
    const hashes = (await source.consistency(tree, known.size, wanted.size)).map((hash) => parseBase64(hash, 32));
    const proof = hashes.filter((hash) => hash !== undefined);
    continues = proof.length === hashes.length && checkConsistency(proof, treeSize(wanted.size), wanted.root, before.size, before.root());
  }
  return continues
    ? new Raised('ENTRIES_DIFFER', `the entries of ${tree} do not give the root that was signed at size ${wanted.size}`, { tree, notes })
    : new Raised('FORK', `the tree of ${tree} signed at size ${wanted.size} does not continue the one of size ${known.size}`, {
        tree,
        notes,
      });
}

/** The notes of other trees that an entry of the root tree holds. @throws Raised */
export function rootedNote(
  entry: Buffer,
  keys: readonly TrustedKey[],
  originOf: (tree: string) => string,
): RootedNote & { readonly tree: string } {
  const said = readRootLeaf(entry);
  if (said === undefined) throw new Raised('MALFORMED', 'an entry of the root tree holds no note', { tree: 'root' });
  const { size, root } = openedNote(said.note, keys, originOf(said.tree), said.tree);
  return { tree: said.tree, note: said.note, size, root };
}

interface SaidLeaf {
  readonly offset?: unknown;
  readonly verdict?: unknown;
}
function saidBy(entry: Buffer): SaidLeaf {
  try {
    return JSON.parse(entry.toString('utf8')) as SaidLeaf;
  } catch {
    // Bytes that the tree holds are what was signed, whatever they are; they are counted as none.
    return {};
  }
}
const verdictOf = (entry: Buffer): string | undefined => {
  const { verdict } = saidBy(entry);
  return typeof verdict === 'string' ? verdict : undefined;
};
const offsetAfter = (entry: Buffer, before: number): number => {
  const { offset } = saidBy(entry);
  return typeof offset === 'string' && /^\d{1,15}$/.test(offset) ? Number(offset) + 1 : before;
};
