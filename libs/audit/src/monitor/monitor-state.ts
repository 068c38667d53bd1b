import { Frontier, parseBase64, parseDecimal, type Hash } from '../tlog/index.js';

/** What a monitor remembers of one tree: enough to go on from there, whatever its size. */
export interface WatchedTree {
  /** Leaves that it derived the root from itself. */
  readonly size: bigint;
  /** Hashes of `cover(0, size)`. */
  readonly frontier: readonly Hash[];
  /** The signed note of that size; absent before the first. */
  readonly note?: string;
  /** Of partitions: the first offset of the log that is not in the tree, and leaves by verdict since the monitor began. */
  readonly nextOffset: number;
  readonly verdicts: Readonly<Record<string, number>>;
  /** A newer note that was shown, which the root tree must hold soon, and since when. */
  readonly shown?: { readonly note: string; readonly since: number };
  /** What was published last, and since when (the monitor's clock) nothing newer was. */
  readonly published: { readonly mark: string; readonly since: number };
  /** Projected counts less own ones, once both stood at the same offset. */
  readonly baseline?: Readonly<Record<string, number>>;
}

/** What a monitor remembers between rounds, and between its own runs. */
export interface MonitorState {
  readonly logId: string;
  readonly trees: ReadonlyMap<string, WatchedTree>;
  /** Ends of the log and positions, and since when they stand still while the log goes on. */
  readonly standing: ReadonlyMap<string, { readonly at: number; readonly since: number }>;
}

export class MalformedMonitorState extends Error {
  override readonly name = 'MalformedMonitorState';
}

interface StoredTree extends Omit<WatchedTree, 'size' | 'frontier'> {
  readonly size: string;
  readonly frontier: readonly string[];
}

export function formatMonitorState({ logId, trees, standing }: MonitorState): string {
  const stored = [...trees].map(([log, { size, frontier, ...tree }]) => [
    log,
    { ...tree, size: String(size), frontier: frontier.map((hash) => hash.toString('base64')) },
  ]);
  return `${JSON.stringify({ v: 1, logId, trees: Object.fromEntries(stored) as object, standing: Object.fromEntries(standing) }, null, 1)}\n`;
}

/** @throws MalformedMonitorState */
export function parseMonitorState(text: string): MonitorState {
  try {
    const { v, logId, trees, standing } = JSON.parse(text) as {
      v: unknown;
      logId: unknown;
      trees: Record<string, StoredTree>;
      standing: Record<string, { at: number; since: number }>;
    };
    if (v !== 1 || typeof logId !== 'string') throw new TypeError('it is of another version');
    const read = Object.entries(trees).map(([log, tree]): [string, WatchedTree] => {
      const size = parseDecimal(tree.size);
      const frontier = tree.frontier.map((hash) => parseBase64(hash, 32));
      if (size === undefined || !frontier.every((hash) => hash !== undefined)) throw new TypeError(`${log} has no size or hashes`);
      return [log, { ...tree, size, frontier: new Frontier(size, frontier).hashes }];
    });
    return { logId, trees: new Map(read), standing: new Map(Object.entries(standing)) };
  } catch (error) {
    throw new MalformedMonitorState(`the monitor's state cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
