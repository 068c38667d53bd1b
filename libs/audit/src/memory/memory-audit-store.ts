import { WINDOW_SIZE } from '#lib/decision';
import type { LogId } from '#lib/log';
import {
  heldInRoot,
  noteNotNewer,
  onlyGrows,
  termsKept,
  type AuditHead,
  type AuditStore,
  type AuditTransaction,
  type BytesPage,
  type DerivedLog,
  type Growth,
  type KeptNote,
  type LeafPage,
  type StoredLeaf,
} from '../audit-store.js';
import type { ExportJob } from '../export-job.js';
import type { KeptKey } from '../keys/kept-keys.js';
import type { LogName } from '../log-name.js';
import { compareSearchKeys, playthroughStream, type SearchHit, type SearchPage, type SearchQuery } from '../search.js';
import type { TermBlock } from '../terms/index.js';
import type { PrunedClass, PruneStep, StreamBase, TreeBase } from '../retention/tree-base.js';
import { HASH_BYTES, tileWidth, type TileAddress } from '../tlog/index.js';

interface Tree {
  head: AuditHead;
  leaves: StoredLeaf[];
  /** A stream's accepted leaves. */
  accepted: Map<string, StoredLeaf[]>;
  tiles: Map<string, Buffer>;
}
const PAGE = 500;
const tileKey = (tile: TileAddress): string => `${tile.level}/${tile.index}`;

/** An audit store for tests and the simulation. Its contents are open, so that tests can tamper with them. */
export class MemoryAuditStore implements AuditStore {
  readonly trees = new Map<LogName, Tree>();
  readonly keptNotes: KeptNote[] = [];
  readonly keptKeys = new Map<string, KeptKey[]>();
  readonly keptTermBlocks = new Map<LogName, Map<bigint, TermBlock>>();
  readonly keptBases: TreeBase[] = [];
  readonly keptStreams = new Map<string, StreamBase>();
  readonly prunedClasses: PrunedClass[] = [];
  private readonly jobs = new Map<string, ExportJob>();
  private readonly turns = new Map<LogName, Promise<unknown>>();

  open(log: LogName, logId: string): Promise<AuditHead> {
    let tree = this.trees.get(log);
    if (tree === undefined) {
      const { nextOffset = 0, size = 0n, frontier = [], previousLeaf = null } = this.baseOf(log, logId) ?? {};
      const head: AuditHead = { log, logId, nextOffset, size, frontier, previousLeaf };
      tree = { head, leaves: [], accepted: new Map(), tiles: new Map() };
      this.trees.set(log, tree);
    }
    return Promise.resolve(tree.head);
  }

  heads(): Promise<readonly AuditHead[]> {
    return Promise.resolve([...this.trees.values()].map((tree) => tree.head));
  }

  /** One after another per tree; nothing is kept when `work` throws. */
  async transact<T>(log: LogName, work: (transaction: AuditTransaction) => Promise<T>): Promise<T> {
    const before = this.turns.get(log) ?? Promise.resolve();
    const run = before.then(async () => {
      const tree = this.tree(log);
      const pending: (() => void)[] = [];
      const result = await work({
        head: tree.head,
        acceptedLeaves: (streams) => Promise.resolve(new Map(streams.map((stream) => [stream, this.lastAccepted(tree, stream)]))),
        base: () => Promise.resolve(this.baseOf(log, tree.head.logId)),
        streamBases: (streams) => Promise.resolve(this.streamsKept(tree.head, streams)),
        prune: (step) => {
          pending.push(() => this.applyPrune(tree, step));
          return Promise.resolve();
        },
        tiles: (addresses) => this.tiles(log, addresses),
        grow: (growth) => {
          this.check(tree, growth);
          pending.push(() => this.apply(tree, growth));
          return Promise.resolve();
        },
        keepNotes: (notes) => {
          for (const note of notes) this.checkNote(note);
          pending.push(() => this.keptNotes.push(...notes));
          return Promise.resolve();
        },
        keepTerms: (notes) => {
          const places = notes.map((note) => this.placeWithoutTerms(note));
          pending.push(() =>
            notes.forEach(({ terms, rootIndex }, i) => {
              const [at = -1, kept] = places[i] ?? [];
              if (kept !== undefined) this.keptNotes[at] = { ...kept, terms, rootIndex, firstRootIndex: kept.rootIndex ?? 0n };
            }),
          );
          return Promise.resolve();
        },
        keepTermBlocks: (blocks) => {
          pending.push(() => this.applyTermBlocks(log, blocks));
          return Promise.resolve();
        },
        notes: (above, upTo) => Promise.resolve(this.notesOf(log, tree.head.logId).filter(({ size }) => size > above && size <= upTo)),
        latestNote: (name) => this.latestNote(name, tree.head.logId),
        signingKeys: () => this.signingKeys(tree.head.logId),
        announceKey: (key) => {
          pending.push(() => this.addKey(tree.head.logId, key));
          return Promise.resolve();
        },
      });
      for (const apply of pending) apply();
      return result;
    });
    // The next transaction waits for this one to end, whatever its end; the error goes to this one's caller.
    this.turns.set(
      log,
      run.catch(() => undefined),
    );
    return run;
  }

  async *leaves(log: LogName, from: bigint, to: bigint): AsyncIterable<LeafPage> {
    const wanted = (this.trees.get(log)?.leaves ?? []).filter(({ index }) => index >= from && index < to);
    for (let at = 0; at < wanted.length; at += PAGE) {
      const leaves = wanted.slice(at, at + PAGE);
      yield { from: (leaves[0] as StoredLeaf).index, leaves };
    }
  }

  async leafBytesAt(log: LogName, indexes: readonly bigint[]): Promise<ReadonlyMap<bigint, Buffer>> {
    const wanted = new Set(indexes);
    const found = (this.trees.get(log)?.leaves ?? []).filter(({ index }) => wanted.has(index));
    return new Map(found.map(({ index, bytes }) => [index, bytes]));
  }

  async *leafBytes(log: LogName, from: bigint, to: bigint): AsyncIterable<BytesPage> {
    for await (const { leaves } of this.leaves(log, from, to)) {
      let page: StoredLeaf[] = [];
      for (const leaf of leaves) {
        if (page.length > 0 && leaf.index !== (page[0] as StoredLeaf).index + BigInt(page.length)) {
          yield bytesOf(page);
          page = [];
        }
        page.push(leaf);
      }
      if (page.length > 0) yield bytesOf(page);
    }
  }

  tiles(log: LogName, addresses: readonly TileAddress[]): Promise<readonly (Buffer | undefined)[]> {
    const tree = this.tree(log);
    return Promise.resolve(addresses.map((address) => tree.tiles.get(tileKey(address))));
  }

  termBlocks(log: LogName, blocks: readonly bigint[]): Promise<readonly (TermBlock | undefined)[]> {
    const kept = this.keptTermBlocks.get(log);
    return Promise.resolve(blocks.map((block) => kept?.get(block)));
  }
  lastTermBlock(log: LogName, below: bigint): Promise<TermBlock | undefined> {
    const kept = [...(this.keptTermBlocks.get(log)?.values() ?? [])].filter(({ block }) => block < below);
    return Promise.resolve(kept.toSorted((a, b) => (a.block < b.block ? 1 : -1))[0]);
  }
  timeSpan(log: LogName, from: number, to: number): Promise<{ readonly from: bigint; readonly to: bigint } | undefined> {
    const inside = (this.trees.get(log)?.leaves ?? []).filter(({ time }) => time >= from && time < to);
    const [first, last] = [inside[0], inside.at(-1)];
    return Promise.resolve(first === undefined || last === undefined ? undefined : { from: first.index, to: last.index + 1n });
  }

  latestNote(log: LogName, logId: LogId): Promise<KeptNote | undefined> {
    return Promise.resolve(this.notesOf(log, logId).at(-1));
  }
  latestNotes(logId: LogId): Promise<readonly KeptNote[]> {
    const logs = new Set(this.keptNotes.map(({ log }) => log));
    return Promise.resolve([...logs].flatMap((log) => this.notesOf(log, logId).at(-1) ?? []));
  }
  notes(log: LogName, logId: LogId, above: bigint, limit: number): Promise<readonly KeptNote[]> {
    const notes = this.notesOf(log, logId).filter(({ size }) => size > above);
    return Promise.resolve(notes.slice(0, limit));
  }
  notesInRoot(logId: LogId, from: bigint, limit: number): Promise<readonly KeptNote[]> {
    const held = this.keptNotes.filter((note) => note.logId === logId).flatMap(heldInRoot);
    const notes = held.filter(({ rootIndex }) => rootIndex !== null && rootIndex >= from);
    return Promise.resolve(notes.toSorted((a, b) => Number((a.rootIndex ?? 0n) - (b.rootIndex ?? 0n))).slice(0, limit));
  }
  signingKeys(logId: LogId): Promise<readonly KeptKey[]> {
    return Promise.resolve([...(this.keptKeys.get(logId) ?? [])]);
  }
  republish(log: LogName, logId: LogId, size: bigint, at: number): Promise<void> {
    const place = this.keptNotes.findIndex((note) => note.log === log && note.logId === logId && note.size === size);
    const note = this.keptNotes[place];
    if (note !== undefined) this.keptNotes[place] = { ...note, publishedAt: at };
    return Promise.resolve();
  }

  search(query: SearchQuery): Promise<SearchPage> {
    const hits: SearchHit[] = [];
    for (const [log, tree] of this.trees) {
      if (log === 'root' || log === 'access') continue;
      for (const leaf of tree.leaves) {
        if (query.correlationId !== undefined && leaf.correlationId !== query.correlationId) continue;
        if (query.playthroughId !== undefined && leaf.stream !== playthroughStream(query.playthroughId)) continue;
        if (query.actor !== undefined && leaf.actor !== query.actor) continue;
        if (leaf.time < (query.from ?? 0) || leaf.time >= (query.to ?? Infinity)) continue;
        hits.push({ time: leaf.time, log, index: leaf.index, offset: leaf.offset, bytes: leaf.bytes });
      }
    }
    hits.sort(compareSearchKeys);
    const { after } = query;
    const rest = after === undefined ? hits : hits.filter((hit) => compareSearchKeys(hit, after) > 0);
    const page = rest.slice(0, query.limit);
    const last = page.at(-1);
    return Promise.resolve({
      hits: page,
      next: rest.length > page.length && last !== undefined ? { time: last.time, log: last.log, index: last.index } : undefined,
    });
  }

  adopt(log: 'access', logId: string): Promise<void> {
    const tree = this.trees.get(log);
    if (tree !== undefined) tree.head = { ...tree.head, logId };
    return Promise.resolve();
  }

  forget(log: DerivedLog, logId?: LogId): Promise<void> {
    const tree = this.trees.get(log);
    const base = logId === undefined || tree?.head.logId !== logId ? undefined : this.baseOf(log, logId);
    this.trees.delete(log);
    if (tree === undefined || base === undefined) {
      this.keptTermBlocks.delete(log);
      return Promise.resolve();
    }
    const tiles = new Map<string, Buffer>();
    for (const [key, hashes] of tree.tiles) {
      const [level = 0, index = 0] = key.split('/').map(Number);
      const width = tileWidth(base.size, { level, index: BigInt(index) });
      if (width > 0) tiles.set(key, hashes.subarray(0, width * HASH_BYTES));
    }
    const { nextOffset, size, frontier, previousLeaf } = base;
    const head: AuditHead = { log, logId: base.logId, nextOffset, size, frontier, previousLeaf };
    this.trees.set(log, { head, leaves: tree.leaves.filter(({ index }) => index < size), accepted: new Map(), tiles });
    const blocks = this.keptTermBlocks.get(log);
    for (const block of blocks?.keys() ?? []) if (block >= size / 256n) blocks?.delete(block);
    return Promise.resolve();
  }

  bases(logId: LogId): Promise<readonly TreeBase[]> {
    return Promise.resolve(this.keptBases.filter((base) => base.logId === logId));
  }
  pruned(logId: LogId): Promise<readonly PrunedClass[]> {
    const logs = this.keptBases.filter((base) => base.logId === logId).map(({ log }) => log);
    return Promise.resolve(this.prunedClasses.filter(({ log }) => logs.includes(log)));
  }

  saveExport(job: ExportJob): Promise<void> {
    this.jobs.delete(job.id);
    this.jobs.set(job.id, job);
    return Promise.resolve();
  }
  export(id: string): Promise<ExportJob | undefined> {
    return Promise.resolve(this.jobs.get(id));
  }
  exports(limit: number): Promise<readonly ExportJob[]> {
    return Promise.resolve([...this.jobs.values()].toSorted((a, b) => b.requestedAt - a.requestedAt).slice(0, limit));
  }

  private addKey(logId: LogId, key: KeptKey): void {
    const before = (this.keptKeys.get(logId) ?? []).map((one) => (one.until === null ? { ...one, until: key.since } : one));
    this.keptKeys.set(logId, [...before, key]);
  }

  private tree(log: LogName): Tree {
    const tree = this.trees.get(log);
    if (tree === undefined) throw new RangeError(`${log} was not opened`);
    return tree;
  }

  private lastAccepted({ accepted, head: { log, logId } }: Tree, stream: string): Buffer[] {
    const from = this.baseOf(log, logId)?.size ?? 0n;
    const leaves = (accepted.get(stream) ?? []).filter(({ index }) => index >= from);
    return leaves.slice(-WINDOW_SIZE).map((leaf) => leaf.bytes);
  }

  private baseOf(log: LogName, logId: LogId): TreeBase | undefined {
    return this.keptBases.find((base) => base.log === log && base.logId === logId);
  }

  private streamsKept({ log, logId }: AuditHead, streams: readonly string[]): ReadonlyMap<string, StreamBase> {
    const found = streams.map((stream) => this.keptStreams.get(`${logId} ${log} ${stream}`));
    return new Map(found.flatMap((one) => (one === undefined ? [] : [[one.stream, one]])));
  }

  private applyPrune(tree: Tree, { base, streams, leaves, blocks, pruned }: PruneStep): void {
    const { log, logId } = tree.head;
    if (base !== undefined) {
      const place = this.keptBases.findIndex((one) => one.log === log && one.logId === logId);
      this.keptBases.splice(place < 0 ? this.keptBases.length : place, 1, base);
    }
    for (const one of streams) this.keptStreams.set(`${logId} ${log} ${one.stream}`, one);
    const going = new Set(leaves);
    tree.leaves = tree.leaves.filter(({ index }) => !going.has(index));
    const kept = this.keptTermBlocks.get(log);
    for (const block of blocks) {
      const one = kept?.get(block);
      if (one !== undefined) kept?.set(block, { ...one, summary: Buffer.alloc(0) });
    }
    const known = this.prunedClasses.findIndex((one) => one.log === log && one.retention === pruned.retention);
    this.prunedClasses.splice(known < 0 ? this.prunedClasses.length : known, 1, pruned);
  }

  private check(tree: Tree, { head, leaves }: Growth): void {
    const { head: now } = tree;
    const dense = leaves.every(({ index }, i) => index === now.size + BigInt(i));
    const rising = leaves.every(({ offset }, i) => offset > (i === 0 ? (tree.leaves.at(-1)?.offset ?? -1) : (leaves[i - 1]?.offset ?? -1)));
    if (head.size < now.size || head.nextOffset < now.nextOffset || !dense || !rising) {
      throw onlyGrows(now.log);
    }
  }

  private apply(tree: Tree, growth: Growth): void {
    for (const leaf of growth.leaves) {
      if (leaf.accepted && leaf.stream !== null) {
        const known = tree.accepted.get(leaf.stream);
        if (known === undefined) tree.accepted.set(leaf.stream, [leaf]);
        else known.push(leaf);
      }
      tree.leaves.push(leaf);
    }
    for (const tile of growth.tiles) tree.tiles.set(tileKey(tile), tile.hashes);
    tree.head = growth.head;
  }

  private applyTermBlocks(log: LogName, blocks: readonly TermBlock[]): void {
    const kept = this.keptTermBlocks.get(log) ?? new Map<bigint, TermBlock>();
    for (const { block, summary, frontier } of blocks) kept.set(block, { block, summary, frontier });
    this.keptTermBlocks.set(log, kept);
  }

  private notesOf(log: LogName, logId: LogId): KeptNote[] {
    return this.keptNotes.filter((note) => note.log === log && note.logId === logId).toSorted((a, b) => (a.size < b.size ? -1 : 1));
  }

  private placeWithoutTerms(note: KeptNote): readonly [number, KeptNote] {
    const at = this.keptNotes.findIndex(({ log, logId, size }) => log === note.log && logId === note.logId && size === note.size);
    const kept = this.keptNotes[at];
    if (kept === undefined || kept.terms !== undefined) throw termsKept(note);
    return [at, kept];
  }

  private checkNote(note: KeptNote): void {
    const newest = this.notesOf(note.log, note.logId).at(-1);
    if (newest !== undefined && newest.size >= note.size) throw noteNotNewer(note, newest.size);
  }
}

const bytesOf = (leaves: readonly StoredLeaf[]): BytesPage => ({
  from: (leaves[0] as StoredLeaf).index,
  leaves: leaves.map(({ bytes }) => bytes),
});
