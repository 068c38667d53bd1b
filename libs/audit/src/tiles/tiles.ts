import type { LogId } from '#lib/log';
import type { AuditStore } from '../audit-store.js';
import type { LogName } from '../log-name.js';
import { prunedBelow } from '../retention/tree-base.js';
import { formatEntries, HASH_BYTES, parseEntriesPath, parseTilePath, tileWidth, TILE_WIDTH } from '../tlog/index.js';

/** The trees of one event log as C2SP tlog-tiles: what a path names, as far as it is signed. Memory: one tile. */
export class Tiles {
  constructor(
    private readonly store: AuditStore,
    private readonly logId: LogId,
  ) {}

  /**
   * `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`: its bytes, which never change. A partial tile is the beginning of a wider one, so
   * every width up to the signed one is there. Undefined: no such path, not signed yet, or (of a tree that is being rebuilt) not there now.
   * @throws LeavesPruned for entries that were pruned; tiles of hashes stay
   */
  async read(log: LogName, path: string): Promise<Buffer | undefined> {
    const hashes = parseTilePath(path);
    const entries = hashes === undefined ? parseEntriesPath(path) : undefined;
    const wanted = hashes ?? (entries === undefined ? undefined : { level: 0, ...entries });
    if (wanted === undefined) return undefined;
    const signed = (await this.store.latestNote(log, this.logId))?.size ?? 0n;
    if (wanted.width > tileWidth(signed, wanted)) return undefined;
    // The head may be another log's, after a move.
    if ((await this.store.heads()).every((head) => head.log !== log || head.logId !== this.logId)) return undefined;
    return hashes === undefined ? this.entries(log, wanted.index, wanted.width) : this.hashes(log, wanted, wanted.width);
  }

  private async hashes(log: LogName, tile: { readonly level: number; readonly index: bigint }, width: number): Promise<Buffer | undefined> {
    const [stored] = await this.store.tiles(log, [tile]);
    return stored === undefined || stored.length < width * HASH_BYTES ? undefined : stored.subarray(0, width * HASH_BYTES);
  }

  private async entries(log: LogName, tile: bigint, width: number): Promise<Buffer | undefined> {
    const from = tile * BigInt(TILE_WIDTH);
    const found: Buffer[] = [];
    for await (const page of this.store.leaves(log, from, from + BigInt(width))) {
      for (const leaf of page.leaves) {
        if (leaf.index !== from + BigInt(found.length)) break;
        found.push(leaf.bytes);
      }
    }
    if (found.length === width) return formatEntries(found);
    const pruned = await prunedBelow(this.store, this.logId, log, from);
    if (pruned !== undefined) throw pruned;
    return undefined;
  }
}
