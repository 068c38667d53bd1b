import { sha256Hex } from '#lib/canonical';
import { admit, EMPTY_HEAD, type StreamHead, type StreamId } from '#lib/decision';
import {
  assertPosition,
  ForeignLog,
  LogDamaged,
  NO_RELEASES,
  PositionBeyondEnd,
  RecordsForgotten,
  type EventLog,
  type Releases,
  type StoredRecord,
} from '#lib/log';
import { errorText, pause, type Timers } from '#lib/platform';
import { AuditStopped, type RecordPlace, type AuditHead, type AuditStore, type AuditTransaction, type StoredLeaf } from './audit-store.js';
import { leafBytes, leafTerms, type LeafInput } from './leaf.js';
import { partitionLog } from './log-name.js';
import { headFromLeaves, StreamHeads } from './stream-heads.js';
import { edgeTiles, TreeGrowth } from './tree-growth.js';
import { leafHash } from './tlog/index.js';
import { admits, understood, type Understood, type UnderstoodRecord } from './understood.js';

export interface AuditorOptions {
  readonly log: EventLog;
  readonly store: AuditStore;
  readonly timers: Timers;
  /** Which records of unknown envelopes operators released; default: none. */
  readonly releases?: Releases;
  /** Which partitions; default all of them. */
  readonly partitions?: readonly number[];
  /** Called after every change of a partition's status. */
  readonly onStatus?: (status: PartitionAudit) => void;
}

export interface PartitionAudit {
  readonly partition: number;
  /** `waiting`: an outage, tried again; `stopped`: needs a person. */
  readonly state: 'starting' | 'following' | 'waiting' | 'stopped';
  /** Whether the tree could be looked at since this auditor began; until then `nextOffset` and `size` say nothing. */
  readonly opened: boolean;
  readonly nextOffset: number;
  readonly size: bigint;
  /** Log time of the newest record that this auditor saw in the tree, ms; 0 before the first. */
  readonly lastTime: number;
  readonly problem?: {
    readonly code: string;
    readonly message: string;
    readonly remedy?: string;
    /** The record of an unknown envelope that it stands before: it may be released. */
    readonly record?: RecordPlace;
  };
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const REBUILD = 'run `fabula audit rebuild`; kept notes stay and bind the new trees';

/** What one partition's loop remembers between batches; valid only for the head it was left at. */
interface Memory {
  growth: TreeGrowth;
  nextOffset: number;
  readonly heads: StreamHeads;
}

/**
 * Follows every partition of the log and appends one leaf per record. Never skips: on an outage it waits and tries again,
 * on anything else that it cannot do it stops and says so, while commands go on.
 */
export class Auditor {
  private readonly statuses = new Map<number, PartitionAudit>();
  private readonly memories = new Map<number, Memory>();

  constructor(private readonly options: AuditorOptions) {
    for (const partition of options.partitions ?? Array.from({ length: options.log.partitions }, (_, i) => i)) {
      this.statuses.set(partition, { partition, state: 'starting', opened: false, nextOffset: 0, size: 0n, lastTime: 0 });
    }
  }

  status(): readonly PartitionAudit[] {
    return [...this.statuses.values()];
  }

  /** Follows the log until the signal aborts; never rejects. A stopped partition does not hold up the others. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.statuses.keys()].map((partition) => this.follow(partition, signal)));
  }

  /**
   * Appends everything the log holds now, then returns: for rebuilds, tests and the simulation. An abort ends it early.
   * @throws AuditStopped; LogUnavailable and the store's own errors on an outage.
   */
  async catchUp(partition: number, signal?: AbortSignal): Promise<AuditHead> {
    try {
      await this.read(partition, await this.options.log.end(partition), signal);
    } catch (error) {
      this.memories.delete(partition);
      throw error;
    }
    return this.options.store.open(partitionLog(partition), await this.options.log.id());
  }

  private async follow(partition: number, signal: AbortSignal): Promise<void> {
    let wait = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      try {
        await this.read(partition, undefined, signal, () => (wait = FIRST_PAUSE_MS));
      } catch (error) {
        this.memories.delete(partition);
        if (error instanceof AuditStopped) {
          const { code, message, remedy, record } = error;
          this.report(partition, { state: 'stopped', problem: { code, message, remedy, ...(record && { record }) } });
          return;
        }
        if (signal.aborted) return;
        const message = errorText(error);
        if (error instanceof LogDamaged || error instanceof RecordsForgotten) {
          this.report(partition, { state: 'stopped', problem: { code: 'LOG_DAMAGED', message } });
          return;
        }
        this.report(partition, { state: 'waiting', problem: { code: 'OUTAGE', message } });
        await pause(this.options.timers, wait, signal);
        wait = Math.min(wait * 2, LONGEST_PAUSE_MS);
      }
    }
  }

  /** Reads from the store's position to `upTo`, or follows the tail until aborted. */
  private async read(partition: number, upTo?: number, signal?: AbortSignal, progressed?: () => void): Promise<void> {
    const { log, store } = this.options;
    const logId = await log.id();
    for (;;) {
      const head = await this.opened(partition, logId);
      this.report(partition, { state: 'following', opened: true, nextOffset: head.nextOffset, size: head.size });
      if (upTo !== undefined && head.nextOffset >= upTo) return;
      let position = head.nextOffset;
      let elsewhere = false;
      const options = { ...(signal === undefined ? {} : { signal }), ...(upTo === undefined ? {} : { upTo }) };
      for await (const batch of log.read(partition, position, options)) {
        const from = position;
        const { offset, time: lastTime } = batch.records.at(-1) as StoredRecord;
        position = offset + 1;
        // Before the transaction: it must not wait for another connection.
        const entries = await understood(batch.records, partition, this.options.releases ?? NO_RELEASES);
        const after = await store.transact(partitionLog(partition), (transaction) => this.append(transaction, partition, from, entries));
        progressed?.();
        this.report(partition, { state: 'following', nextOffset: after.nextOffset, size: after.size, lastTime });
        // Another auditor went ahead, or the store was set back: read again from where it stands.
        if (after.nextOffset !== position) {
          elsewhere = true;
          break;
        }
      }
      if (!elsewhere) return;
    }
  }

  private async opened(partition: number, logId: string): Promise<AuditHead> {
    const name = partitionLog(partition);
    const head = await this.options.store.open(name, logId);
    try {
      await assertPosition(this.options.log, partition, { logId: head.logId, offset: head.nextOffset }, REBUILD);
    } catch (error) {
      if (error instanceof ForeignLog) throw new AuditStopped('OTHER_LOG', name, error.message, REBUILD);
      if (error instanceof PositionBeyondEnd) throw new AuditStopped('BEYOND_LOG_END', name, error.message, REBUILD);
      throw error;
    }
    return head;
  }

  /** One batch in one transaction. A zombie finds its records below `nextOffset` and appends nothing. */
  private async append(
    transaction: AuditTransaction,
    partition: number,
    from: number,
    entries: readonly UnderstoodRecord[],
  ): Promise<AuditHead> {
    const { head } = transaction;
    if (head.nextOffset < from) return head;
    const fresh = entries.filter(({ record }) => record.offset >= head.nextOffset);
    if (fresh.length === 0) return head;
    const memory = await this.memory(transaction, partition);
    const stop = fresh.at(-1) as UnderstoodRecord;
    const count = stop.decoded === undefined ? fresh.length - 1 : fresh.length;
    if (count === 0) throw this.unknownEnvelope(partition, stop.record);

    // 1. Heads of the streams that this batch touches.
    const { partitions } = this.options.log;
    const streams = new Set<StreamId>();
    const belongs = (decoded: Understood | undefined): decoded is Extract<Understood, { kind: 'record' }> => {
      // A stream that was seen in this batch belongs here: its hash is made once.
      if (decoded?.kind === 'record' && streams.has(decoded.record.stream)) return true;
      return admits(decoded, partition, partitions);
    };
    for (const { decoded } of fresh) if (belongs(decoded)) streams.add(decoded.record.stream);
    const cold = [...streams].filter((stream) => !memory.heads.has(stream));
    if (cold.length > 0) {
      const found = await transaction.acceptedLeaves(cold);
      const pruned = await transaction.streamBases(cold);
      for (const stream of cold) memory.heads.set(stream, this.headOf(head, found.get(stream) ?? [], pruned.get(stream)?.head));
    }

    // 2. Verdicts and leaves, in log order.
    const notes = await transaction.notes(head.size, head.size + BigInt(count));
    const leaves: StoredLeaf[] = [];
    let previousLeaf = head.previousLeaf;
    for (let i = 0; i < count; i++) {
      const { record } = fresh[i] as UnderstoodRecord;
      const one = (fresh[i] as UnderstoodRecord).decoded as Understood;
      let verdict: LeafInput['verdict'] = 'invalid';
      if (belongs(one)) {
        const admission = admit(memory.heads.get(one.record.stream) ?? EMPTY_HEAD, one.record, one.digest, record.offset);
        verdict = admission.verdict;
        if (verdict === 'accepted') memory.heads.set(one.record.stream, admission.head);
      }
      const index = memory.growth.size;
      const bytes = leafBytes({ logId: head.logId, partition, index, record, decoded: one, verdict, previousLeaf });
      leaves.push({ index, offset: record.offset, time: record.time, bytes, ...leafTerms(one), accepted: verdict === 'accepted' });
      previousLeaf = leafHash(bytes);
      memory.growth.append(previousLeaf);
      // 3. A rebuilt tree must have every root that was signed for it.
      const note = notes.find(({ size }) => size === memory.growth.size);
      if (note !== undefined && !note.root.equals(memory.growth.root())) {
        const message = `the tree of the log's records has another root at size ${note.size} than the signed note`;
        throw new AuditStopped(
          'NOTE_DISAGREES',
          head.log,
          message,
          'compare log and note with `fabula audit verify --store`; do not delete the note',
        );
      }
    }
    const nextOffset = (fresh[count - 1] as UnderstoodRecord).record.offset + 1;
    const next: AuditHead = { ...head, nextOffset, size: memory.growth.size, frontier: memory.growth.hashes, previousLeaf };
    await transaction.grow({ leaves, tiles: memory.growth.takeChanged(), head: next });
    memory.nextOffset = nextOffset;
    memory.heads.trim();
    return next;
  }

  /** Growth and stream heads as left by the last batch, or read again when the store stands elsewhere. */
  private async memory(transaction: AuditTransaction, partition: number): Promise<Memory> {
    const { head } = transaction;
    const kept = this.memories.get(partition);
    // Somebody may have rebuilt the tree since: what was remembered of the old one counts only if the new one is the same.
    if (kept !== undefined && kept.nextOffset === head.nextOffset && sameFrontier(kept.growth, head)) return kept;
    const tiles = await transaction.tiles(edgeTiles(head.size));
    const memory = {
      growth: this.consistent(head, () => new TreeGrowth(head, tiles)),
      nextOffset: head.nextOffset,
      heads: new StreamHeads(),
    };
    this.memories.set(partition, memory);
    return memory;
  }

  private headOf(head: AuditHead, leaves: readonly Buffer[], before: StreamHead | undefined): StreamHead {
    return this.consistent(head, () => headFromLeaves(leaves, before));
  }

  private consistent<T>(head: AuditHead, derive: () => T): T {
    try {
      return derive();
    } catch (error) {
      throw new AuditStopped(
        'STORE_CORRUPT',
        head.log,
        errorText(error),
        `find the place with \`fabula audit verify --store\`, then ${REBUILD}`,
      );
    }
  }

  private unknownEnvelope(partition: number, record: StoredRecord): AuditStopped {
    const message = `the record at offset ${record.offset} was written by a newer version of Fabula`;
    return new AuditStopped(
      'UNKNOWN_ENVELOPE',
      partitionLog(partition),
      message,
      'start the version that wrote it, or release the record with `fabula log dead-letters release`',
      { offset: record.offset, digest: sha256Hex(record.value) },
    );
  }

  private report(partition: number, change: Omit<Partial<PartitionAudit>, 'partition'> & Pick<PartitionAudit, 'state'>): void {
    const { problem: _mended, ...before } = this.statuses.get(partition) as PartitionAudit;
    const status = { ...before, ...change };
    this.statuses.set(partition, status);
    this.options.onStatus?.(status);
  }
}

function sameFrontier(growth: TreeGrowth, { size, frontier }: AuditHead): boolean {
  const { hashes } = growth;
  return growth.size === size && hashes.length === frontier.length && hashes.every((hash, i) => frontier[i]?.equals(hash) === true);
}
