import type { LogId } from '#lib/log';
import { errorText, type Timers } from '#lib/platform';
import { AuditStopped, type AuditHead, type AuditStore, type AuditTransaction, type StoredLeaf } from '../audit-store.js';
import { leafHash } from '../tlog/index.js';
import { edgeTiles, TreeGrowth } from '../tree-growth.js';
import { accessBytes, type Access } from './access-entry.js';

export const ACCESS_LOG = 'access';
/** Entries of one transaction, and the most that one call may bring. */
export const MAX_BATCH = 500;
const MAX_WAITING = 5_000;
const DEADLINE_MS = 5_000;

/** The entry is not known to be kept. It may stand in the log all the same: an access log may tell of an answer that never left. */
export class AccessNotRecorded extends Error {
  override readonly name = 'AccessNotRecorded';
}

interface Waiting {
  readonly access: Access;
  done(): void;
  failed(error: Error): void;
}

export interface AccessLogOptions {
  readonly store: AuditStore;
  readonly logId: LogId;
  readonly timers: Timers;
  /** Told of a tree that contradicts itself: a person has to look. */
  readonly onStopped?: (error: AuditStopped) => void;
  /** Told when entries begin to be refused, not of each: from then on staff get no answers. */
  readonly onRefusing?: (problem: string) => void;
}

/**
 * The tree of who looked at what. Many processes append: the head's row lock orders them. Concurrent entries of one process go in
 * together. Primary data: it cannot be derived again.
 */
export class AccessLog {
  private readonly waiting: Waiting[] = [];
  /** Lengths of the calls that wait, in order: a batch is cut between calls only, so that each goes in whole or not at all. */
  private readonly cuts: number[] = [];
  private growth: TreeGrowth | undefined;
  private draining: Promise<void> | undefined;
  private opened = false;
  private refusing = false;

  constructor(private readonly options: AccessLogOptions) {}

  /** Ends when the entries are committed, all or none. @throws AccessNotRecorded, also when they do not fit into the queue, or after 5 s */
  async record(...accesses: readonly Access[]): Promise<void> {
    if (accesses.length === 0) return;
    if (accesses.length > MAX_BATCH) throw new RangeError(`at most ${MAX_BATCH} entries at once`);
    if (this.waiting.length + accesses.length > MAX_WAITING) throw new AccessNotRecorded('too many entries of the access log wait');
    await new Promise<void>((resolve, reject) => {
      let missing = accesses.length;
      const cancel = this.options.timers.after(DEADLINE_MS, () =>
        reject(new AccessNotRecorded(`the access log did not take an entry within ${DEADLINE_MS} ms`)),
      );
      const done = (): void => {
        if (--missing > 0) return;
        cancel();
        resolve();
      };
      const failed = (error: Error): void => {
        cancel();
        reject(error);
      };
      for (const access of accesses) this.waiting.push({ access, done, failed });
      this.cuts.push(accesses.length);
      this.draining ??= this.drain().finally(() => (this.draining = undefined));
    });
  }

  /** Ends when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.draining !== undefined) await this.draining;
  }

  private async drain(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.next();
      try {
        await this.append(batch.map(({ access }) => access));
        this.refusing = false;
        for (const one of batch) one.done();
      } catch (error) {
        this.growth = undefined;
        this.opened = false;
        if (!this.refusing) {
          if (error instanceof AuditStopped) this.options.onStopped?.(error);
          else this.options.onRefusing?.(errorText(error));
        }
        this.refusing = true;
        const failure = new AccessNotRecorded(`the access log cannot be written: ${errorText(error)}`, { cause: error });
        for (const one of batch) one.failed(failure);
      }
    }
  }

  private next(): Waiting[] {
    let size = 0;
    while (this.cuts.length > 0 && size + (this.cuts[0] as number) <= MAX_BATCH) size += this.cuts.shift() as number;
    return this.waiting.splice(0, size);
  }

  private async append(accesses: readonly Access[]): Promise<void> {
    const { store, logId } = this.options;
    if (!this.opened) await store.open(ACCESS_LOG, logId);
    this.opened = true;
    await store.transact(ACCESS_LOG, async (transaction) => {
      const { head } = transaction;
      const growth = await this.grown(transaction);
      const leaves: StoredLeaf[] = [];
      let { previousLeaf } = head;
      for (const access of accesses) {
        const index = growth.size;
        const bytes = accessBytes(access, { logId: head.logId, index, previousLeaf });
        previousLeaf = leafHash(bytes);
        growth.append(previousLeaf);
        leaves.push({
          index,
          offset: Number(index),
          time: access.at,
          bytes,
          stream: access.stream ?? null,
          correlationId: access.correlationId,
          actor: access.actor,
          accepted: true,
        });
      }
      const next: AuditHead = { ...head, nextOffset: Number(growth.size), size: growth.size, frontier: growth.hashes, previousLeaf };
      await transaction.grow({ leaves, tiles: growth.takeChanged(), head: next });
    });
  }

  /** As this process left the tree, or read again when another one appended since. */
  private async grown(transaction: AuditTransaction): Promise<TreeGrowth> {
    const { head } = transaction;
    const kept = this.growth;
    if (kept !== undefined && kept.size === head.size && kept.hashes.every((hash, i) => head.frontier[i]?.equals(hash) === true))
      return kept;
    const tiles = await transaction.tiles(edgeTiles(head.size));
    try {
      this.growth = new TreeGrowth(head, tiles);
    } catch (error) {
      throw new AuditStopped('STORE_CORRUPT', head.log, errorText(error), 'find the place with `fabula audit verify --store`');
    }
    return this.growth;
  }
}
