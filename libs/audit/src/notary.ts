import { errorText, pause, type Clock, type Timers } from '#lib/platform';
import type { LogId } from '#lib/log';
import { AuditStopped, type AuditHead, type AuditStore, type AuditTransaction, type KeptNote, type StoredLeaf } from './audit-store.js';
import { NotaryKeys, type SigningKeys } from './keys/notary-keys.js';
import { partitionLog, partitionOfLog, type LogName } from './log-name.js';
import type { NoteKeeper } from './note-keeper.js';
import { blockStart, rederiveRoot, type BeginTerms } from './rederive.js';
import { rootLeafBytes } from './root-leaf.js';
import { edgeTiles, TreeGrowth } from './tree-growth.js';
import {
  isKeyName,
  leafHash,
  openTrustedNote,
  signCheckpointNote,
  treeSize,
  type Hash,
  type NoteSigner,
  type TrustedKey,
} from './tlog/index.js';

export interface NotaryOptions {
  readonly store: AuditStore;
  readonly logId: LogId;
  readonly partitions: number;
  /** Sign every note, the current key first; all bear the configured name of the audit. */
  readonly signers: readonly NoteSigner[];
  /** Asked anew when the store names a key that is none of those; default: there are no others. */
  readonly reloadKeys?: () => Promise<SigningKeys>;
  /** How long a key that was replaced signs beside the new one; default 7 days. */
  readonly overlapMs?: number;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Remembers released notes outside the store. */
  readonly keeper?: NoteKeeper;
  /** What is said about a tree's terms beside each of its notes; default: nothing. */
  readonly terms?: BeginTerms;
  /** How often a grown tree is signed; default 10 s. Shorter: fresher proofs, more notes. */
  readonly intervalMs?: number;
  /** An idle tree's note is published again after this; default 10 min: proof of silence. */
  readonly republishMs?: number;
  readonly onStatus?: (status: NotaryStatus) => void;
}

export interface NotaryStatus {
  readonly log: LogName;
  /** `behind`: the tree is smaller than its note (a rebuild); `waiting`: an outage; `stopped`: needs a person. */
  readonly state: 'idle' | 'current' | 'behind' | 'waiting' | 'stopped';
  readonly size: bigint;
  readonly signedAt: number | null;
  readonly problem?: { readonly code: string; readonly message: string; readonly remedy?: string };
}

export const DEFAULT_INTERVAL_MS = 10_000;
export const DEFAULT_REPUBLISH_MS = 600_000;

type Derived = Pick<KeptNote, 'log' | 'size' | 'root' | 'terms'>;

const REBUILD_NOTES = 500;
const RESTORE = 'restore fabula.audit_notes from a backup';

function otherLog(head: AuditHead, logId: LogId): AuditStopped {
  return new AuditStopped(
    'OTHER_LOG',
    head.log,
    `its tree was built from log ${head.logId}, this is log ${logId}`,
    'run `fabula audit rebuild`',
  );
}

/** What names a tree to the world: configured name, log id, tree. */
export function originOf(name: string, logId: LogId, log: LogName): string {
  return `${name}/${logId}/${log}`;
}

/**
 * Signs checkpoint notes: per partition, and a root note over them all. A root is derived again from stored bytes before it is signed,
 * kept before it is released, and never smaller than or inconsistent with what was signed before.
 */
export class Notary {
  private readonly statuses = new Map<LogName, NotaryStatus>();
  private readonly keys: NotaryKeys;
  /** Trees that have not grown since their newest note, and that note, checked: while both stay so there is nothing to do. */
  private readonly settled = new Map<LogName, Pick<KeptNote, 'size' | 'root' | 'note'> | 'empty'>();

  constructor(private readonly options: NotaryOptions) {
    this.keys = new NotaryKeys({ signers: options.signers, former: [] }, options.clock, options.reloadKeys, options.overlapMs);
    if (!isKeyName(this.origin('root'))) throw new RangeError(`"${this.origin('root')}" cannot name a log: no spaces, no plus`);
    for (const log of [...this.logs().filter((name) => name !== 'access'), 'root' as const])
      this.statuses.set(log, { log, state: 'idle', size: 0n, signedAt: null });
  }

  status(): readonly NotaryStatus[] {
    return [...this.statuses.values()];
  }
  origin(log: LogName): string {
    return originOf(this.keys.name, this.options.logId, log);
  }

  /** Looks again at the trees it had stopped at: a person, or a rebuild somewhere, may have mended them. */
  resume(): void {
    for (const { problem: _mended, ...status } of this.statuses.values())
      if (status.state === 'stopped') this.report({ ...status, state: 'idle' });
  }

  /** Signs at every interval until the signal aborts; never rejects. A stopped tree does not hold up the others. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.sign();
      await pause(this.options.timers, this.options.intervalMs ?? DEFAULT_INTERVAL_MS, signal);
    }
  }

  /** One round: every grown tree gets its note, then the root tree. Problems go to `status`, except those of the caller's making. */
  async sign(): Promise<void> {
    const { store, logId } = this.options;
    const unsigned: Derived[] = [];
    const quiet = await this.quiet();
    let asked: Promise<readonly AuditHead[]> | undefined;
    for (const log of this.logs()) {
      if (quiet.has(log)) continue;
      await this.guarded(log, async () => {
        const known = (await (asked ??= store.heads())).find((head) => head.log === log);
        // Whoever records what is looked at makes the access log's tree; until then there is none to sign.
        if (known === undefined && log === 'access') return;
        const grown = await this.grown(known ?? (await store.open(log, logId)));
        if (grown !== undefined) unsigned.push(grown);
      });
    }
    if (quiet.has('root') && unsigned.length === 0) return;
    await this.guarded('root', async () => {
      const root = await store.open('root', logId);
      if (root.logId !== logId) throw otherLog(root, logId);
      while (await store.transact('root', (transaction) => this.rebuildRoot(transaction)));
      if (unsigned.length > 0) {
        const kept = await store.transact('root', (transaction) => this.keepPartitionNotes(transaction, unsigned));
        for (const note of kept) await this.released(note);
      }
      const grown = await this.grown(await store.open('root', logId));
      if (grown === undefined) return;
      const kept = await store.transact('root', async (transaction) => {
        if (((await transaction.latestNote('root'))?.size ?? -1n) >= grown.size) return undefined;
        const note = this.signed(grown, null, await this.keys.signing(transaction));
        await transaction.keepNotes([note]);
        return note;
      });
      // Another notary was ahead: a note that the store does not know must not get out, it would look like a second history.
      if (kept !== undefined) await this.released(kept);
    });
  }

  /** Trees that stand as they were left, with the note that was checked then, which is not due again: two questions for all of them. */
  private async quiet(): Promise<ReadonlySet<LogName>> {
    const { store, logId, clock, republishMs = DEFAULT_REPUBLISH_MS } = this.options;
    const quiet = new Set<LogName>();
    if (this.settled.size === 0) return quiet;
    try {
      const [heads, notes] = await Promise.all([store.heads(), store.latestNotes(logId)]);
      if (heads.every(({ log }) => log !== 'access')) quiet.add('access');
      for (const head of heads) {
        const known = this.settled.get(head.log);
        if (known === undefined || head.logId !== logId) continue;
        const note = notes.find(({ log }) => log === head.log);
        const same =
          known === 'empty'
            ? note === undefined && head.size === 0n
            : note?.note === known.note && note.size === known.size && note.root.equals(known.root) && head.size === known.size;
        if (same && (note === undefined || clock.now() - note.publishedAt < republishMs)) quiet.add(head.log);
      }
    } catch {
      // Looking at each tree meets the same, and says so of each.
      quiet.clear();
    }
    return quiet;
  }

  /** The tree's derived size and root when it has grown since its newest note; checks that note first. */
  private async grown(head: AuditHead): Promise<Derived | undefined> {
    const { store, logId, clock } = this.options;
    const { log } = head;
    if (head.logId !== logId) throw otherLog(head, logId);
    // In this order: a note that another notary keeps in between, in both, must not look as if the store had lost it.
    const outside = await this.options.keeper?.newest(log);
    const newest = await store.latestNote(log, logId);
    const trusted = await this.keys.trusted(await store.signingKeys(logId));
    if (newest !== undefined) this.check(newest, trusted);
    if (outside !== undefined) this.compareWithKept(log, outside, newest, trusted);
    // Another notary may have signed what grew since all heads were read.
    if (newest !== undefined && head.size < newest.size)
      return (await store.open(log, logId)).size < newest.size ? this.behind(newest) : undefined;
    if (head.size === (newest?.size ?? 0n)) {
      if (newest !== undefined && this.lacksTerms(newest)) return this.rederived(head, newest, true);
      const now = clock.now();
      if (newest !== undefined && now - newest.publishedAt >= (this.options.republishMs ?? DEFAULT_REPUBLISH_MS)) {
        if ((await this.rederived(head, newest, false)) === undefined) return this.behind(newest);
        await store.republish(log, logId, newest.size, now);
      }
      this.settled.set(log, newest ?? 'empty');
      this.report({ log, state: newest === undefined ? 'idle' : 'current', size: head.size, signedAt: newest?.signedAt ?? null });
      return undefined;
    }
    return this.rederived(head, newest, true);
  }

  /** Signed before terms were. Of a tree that stays as it is nothing could be exported narrowed down, if nobody said them later. */
  private lacksTerms({ log, terms }: KeptNote): boolean {
    return terms === undefined && this.options.terms !== undefined && partitionOfLog(log) !== undefined;
  }

  private behind({ log, size, signedAt }: KeptNote): undefined {
    // Grown back to the size of its note it must be looked at again, or `behind` stays said of it.
    this.settled.delete(log);
    this.report({ log, state: 'behind', size, signedAt });
  }

  /** Undefined: the tree is being rebuilt, here or in another process, and leaves went away while they were read. */
  private async rederived(head: AuditHead, newest: KeptNote | undefined, withTerms: boolean): Promise<Derived | undefined> {
    const { store } = this.options;
    const { log, logId, size } = head;
    try {
      return await this.derive(head, newest, withTerms);
    } catch (error) {
      if (!(error instanceof AuditStopped)) throw error;
      const now = await store.open(log, logId);
      if (now.size < size) return undefined;
      return this.derive(now, newest, withTerms);
    }
  }

  private async derive(head: AuditHead, newest: KeptNote | undefined, withTerms: boolean): Promise<Derived> {
    const { log, size } = head;
    const reading = withTerms && log !== 'root' ? await this.options.terms?.(log, blockStart(newest?.size ?? 0n)) : undefined;
    const root = await rederiveRoot(this.options.store, head, newest, reading);
    return { log, size, root, ...(reading === undefined ? {} : { terms: await reading.root(size) }) };
  }

  /** The store may have been tampered with: a note counts only if our key signed just that. */
  private check(note: KeptNote, trusted: readonly TrustedKey[]): void {
    const { log } = note;
    let problem: string | undefined;
    try {
      const opened = openTrustedNote(note.note, trusted);
      if (opened.origin !== this.origin(log) || opened.size !== note.size || !opened.root.equals(note.root))
        problem = 'it says something else';
    } catch (error) {
      problem = errorText(error);
    }
    if (problem === undefined) return;
    throw new AuditStopped(
      'NOTE_DISAGREES',
      log,
      `the kept note of size ${note.size} is not ours: ${problem}`,
      'find what was changed with `fabula audit verify --store`',
    );
  }

  private compareWithKept(log: LogName, text: string, newest: KeptNote | undefined, trusted: readonly TrustedKey[]): void {
    let outside;
    try {
      outside = openTrustedNote(text, trusted);
    } catch (error) {
      throw new AuditStopped(
        'NOTE_DISAGREES',
        log,
        `the note kept outside the store is not ours: ${errorText(error)}`,
        'compare it with a backup',
      );
    }
    // Notes of an earlier log or name say nothing about this one.
    if (outside.origin !== this.origin(log)) return;
    const agrees = newest !== undefined && newest.size >= outside.size && (newest.size > outside.size || newest.root.equals(outside.root));
    if (agrees) return;
    const message = `a note of size ${outside.size} was released, the store knows ${newest?.size ?? 'none'}: the store was set back`;
    throw new AuditStopped('NOTE_DISAGREES', log, message, 'restore the newest backup of fabula.audit_notes and of the root tree');
  }

  /** In one transaction: the notes, and the root tree's leaves about them. A second notary finds its notes kept already. */
  private async keepPartitionNotes(transaction: AuditTransaction, unsigned: readonly Derived[]): Promise<KeptNote[]> {
    const notes: KeptNote[] = [];
    const again: (KeptNote & { readonly terms: Hash; readonly rootIndex: bigint })[] = [];
    const signers = await this.keys.signing(transaction);
    for (const one of unsigned) {
      const newest = await transaction.latestNote(one.log);
      const rootIndex = transaction.head.size + BigInt(notes.length + again.length);
      if ((newest?.size ?? -1n) < one.size) notes.push(this.signed(one, rootIndex, signers));
      else if (newest?.size === one.size && this.lacksTerms(newest) && one.terms !== undefined)
        again.push({ ...newest, terms: one.terms, rootIndex });
    }
    const all = [...notes, ...again].toSorted((one, other) => Number((one.rootIndex ?? 0n) - (other.rootIndex ?? 0n)));
    if (all.length === 0) return [];
    await this.growRoot(transaction, all);
    await transaction.keepNotes(notes);
    await transaction.keepTerms(again);
    return all;
  }

  /** After the root tree was forgotten: its leaves again, from the kept notes. Answers whether there may be more. */
  private async rebuildRoot(transaction: AuditTransaction): Promise<boolean> {
    const notes = await this.options.store.notesInRoot(this.options.logId, transaction.head.size, REBUILD_NOTES);
    if (notes.length > 0) await this.growRoot(transaction, notes);
    return notes.length === REBUILD_NOTES;
  }

  private async growRoot(transaction: AuditTransaction, notes: readonly KeptNote[]): Promise<void> {
    const { head } = transaction;
    const growth = new TreeGrowth(head, await transaction.tiles(edgeTiles(head.size)));
    const signed = await transaction.notes(head.size, head.size + BigInt(notes.length));
    const leaves: StoredLeaf[] = [];
    let { previousLeaf } = head;
    for (const { log, rootIndex, signedAt, note, terms } of notes) {
      const index = growth.size;
      if (rootIndex !== index) throw new AuditStopped('STORE_CORRUPT', 'root', `the note for its leaf ${index} is missing`, RESTORE);
      const said = { logId: head.logId, index, tree: log, signedAt, note, previousLeaf };
      const bytes = rootLeafBytes(terms === undefined ? said : { ...said, terms });
      leaves.push({ index, offset: Number(index), time: signedAt, bytes, stream: null, correlationId: null, actor: null, accepted: false });
      previousLeaf = leafHash(bytes);
      growth.append(previousLeaf);
      const kept = signed.find(({ size }) => size === growth.size);
      if (kept !== undefined && !kept.root.equals(growth.root())) {
        throw new AuditStopped('NOTE_DISAGREES', 'root', `the kept notes give another root at size ${kept.size} than was signed`, RESTORE);
      }
    }
    const next: AuditHead = { ...head, nextOffset: Number(growth.size), size: growth.size, frontier: growth.hashes, previousLeaf };
    await transaction.grow({ leaves, tiles: growth.takeChanged(), head: next });
  }

  private signed(tree: Derived, rootIndex: bigint | null, signers: readonly NoteSigner[]): KeptNote {
    const { logId, clock } = this.options;
    const note = signCheckpointNote({ origin: this.origin(tree.log), size: treeSize(tree.size), root: tree.root }, ...signers);
    const now = clock.now();
    return { ...tree, logId, note, signedAt: now, publishedAt: now, rootIndex };
  }

  private async released(note: KeptNote): Promise<void> {
    await this.options.keeper?.keep(note.log, note.note);
    this.report({ log: note.log, state: 'current', size: note.size, signedAt: note.signedAt });
  }

  private async guarded(log: LogName, work: () => Promise<void>): Promise<void> {
    const status = this.statuses.get(log) ?? { log, state: 'idle' as const, size: 0n, signedAt: null };
    if (status.state === 'stopped') return;
    try {
      await work();
    } catch (error) {
      this.settled.delete(log);
      const stopped = error instanceof AuditStopped;
      const problem = stopped
        ? { code: error.code, message: error.message, remedy: error.remedy }
        : { code: 'OUTAGE', message: errorText(error) };
      this.report({ ...status, state: stopped ? 'stopped' : 'waiting', problem });
    }
  }

  /** Those whose notes the root tree holds. */
  private logs(): LogName[] {
    return [...Array.from({ length: this.options.partitions }, (_, partition) => partitionLog(partition)), 'access'];
  }

  private report(status: NotaryStatus): void {
    this.statuses.set(status.log, status);
    this.options.onStatus?.(status);
  }
}
