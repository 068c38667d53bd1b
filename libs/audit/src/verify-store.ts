import { NO_RELEASES, type EventLog, type Releases } from '#lib/log';
import type { AuditHead, AuditStore, KeptNote, StoredLeaf } from './audit-store.js';
import { Findings, type Finding } from './bundle/findings.js';
import { LeafSequence } from './bundle/leaf-sequence.js';
import { deriveLeaves } from './derive-leaves.js';
import { filedUnder } from './leaf.js';
import { partitionOfLog, type LogName } from './log-name.js';
import { originOf } from './notary.js';
import { readRootLeaf } from './bundle/read-json.js';
import { checkPruned } from './retention/check-pruned.js';
import type { PrunedClass, TreeBase } from './retention/tree-base.js';
import { TermsComparison } from './terms/compare-terms.js';
import { Frontier, openTrustedNote, parseTrust, TILE_HEIGHT, type CheckpointNote, type Hash, type TrustedKey } from './tlog/index.js';

export interface VerifyStoreOptions {
  readonly store: AuditStore;
  /** The key to trust, `<name>+<id>+<key>`, or a whole trust policy with replaced keys and their limits. */
  readonly vkey: string;
  /** With the event log, every leaf is derived again from its record. */
  readonly log?: EventLog;
  /** Which records of unknown envelopes operators released; default: none. */
  readonly releases?: Releases;
  /** Signed notes kept outside the store: without them a store that was set back as a whole looks honest. */
  readonly outsideNotes?: readonly string[];
  /** Whether two people approved just that: of each pruning that the store tells of. Default: nobody is asked. */
  readonly approved?: (pruned: PrunedClass) => Promise<boolean>;
  /** What lies where partitions of a pruned log begin, compared with what was recorded of it. */
  readonly logBases?: () => Promise<readonly LogBaseCheck[]>;
  /** Only these trees; default all. */
  readonly logs?: readonly LogName[];
  readonly progress?: (log: LogName, leaves: number) => void;
}

export interface LogBaseCheck {
  readonly partition: number;
  readonly offset: number;
  /** In words; null: it is what was recorded. */
  readonly problem: string | null;
}

export interface StoreReport {
  readonly ok: boolean;
  readonly exitCode: number;
  readonly findings: readonly Finding[];
  readonly findingsTotal: number;
  readonly trees: readonly {
    readonly log: LogName;
    readonly leaves: number;
    readonly notes: number;
    readonly verdicts: Readonly<Record<string, number>>;
  }[];
  /** Of which leaves only the hashes could be verified, since they were pruned. */
  readonly pruned: readonly (Omit<PrunedClass, 'below'> & { readonly below: string })[];
  /** What could not be shown with what was given, in words. */
  readonly notShown: readonly string[];
}

const NOTES = 500;
const nameOf = (keys: readonly TrustedKey[]): string => keys[0]?.verifier.name ?? '';

/**
 * Looks for tampering in the store: every tree is derived again from stored bytes and compared with its stored hashes, its head and every
 * signed note; with the event log every leaf is derived again from its record. One pass per tree.
 * @throws MalformedKey, MalformedTrust for an unusable key; the store's own errors when it cannot be read
 */
export async function verifyStore(options: VerifyStoreOptions): Promise<StoreReport> {
  const keys = parseTrust(options.vkey);
  const findings = new Findings();
  const trees: StoreReport['trees'][number][] = [];
  const heads = await options.store.heads();
  const logId = heads[0]?.logId ?? (await options.log?.id());
  const wanted = options.logs ?? heads.map(({ log }) => log);
  const bases = logId === undefined ? [] : await options.store.bases(logId);
  const pruned = logId === undefined ? [] : await options.store.pruned(logId);
  for (const log of wanted) {
    const head = heads.find((one) => one.log === log);
    if (head === undefined) findings.add('TRUNCATION', `the tree ${log} is missing`, { tree: log });
    else {
      const base = bases.find((one) => one.log === log && one.logId === head.logId);
      const classes = pruned.filter((one) => one.log === log);
      trees.push(await new TreeCheck(options, keys, findings, head, base, classes).run());
    }
  }
  await comparePruned(options, findings, pruned, bases);
  for (const text of options.outsideNotes ?? []) await compareOutside(options.store, keys, findings, heads, text);
  for (const { partition, offset, problem } of (await options.logBases?.()) ?? [])
    if (problem !== null)
      findings.add('BASE', `the base of partition ${partition} up to offset ${offset} ${problem}`, {
        tree: `p${partition}`,
        offset: String(offset),
      });
  const notShown: string[] = [];
  if (options.log === undefined) notShown.push('that leaves tell of the records in the log: give the log');
  for (const { partition, begin } of await begins(options.log))
    notShown.push(`that leaves of partition ${partition} tell of its records before offset ${begin}: those were pruned`);
  if (options.outsideNotes === undefined) notShown.push('that the store as a whole was not set back: give notes kept outside it');
  if (pruned.length > 0 && options.approved === undefined)
    notShown.push('that two people approved what was pruned: ask the running server');
  if (logId === undefined) notShown.push('anything: the store is empty');
  const { exitCode, list, total: findingsTotal } = findings;
  return {
    ok: findingsTotal === 0,
    exitCode,
    findings: list,
    findingsTotal,
    trees,
    pruned: pruned.map((one) => ({ ...one, below: String(one.below) })),
    notShown,
  };
}

async function begins(log: EventLog | undefined): Promise<readonly { readonly partition: number; readonly begin: number }[]> {
  const found: { partition: number; begin: number }[] = [];
  for (let partition = 0; partition < (log?.partitions ?? 0); partition++)
    found.push({ partition, begin: (await log?.begin(partition)) ?? 0 });
  return found.filter(({ begin }) => begin > 0);
}

async function comparePruned(
  { approved }: VerifyStoreOptions,
  findings: Findings,
  pruned: readonly PrunedClass[],
  bases: readonly TreeBase[],
): Promise<void> {
  for (const one of pruned) {
    const { log, below, action } = one;
    const at = { tree: log, index: String(below) };
    if (bases.every((base) => base.log !== log)) findings.add('GAP', `the base of ${log}, which was pruned below ${below}, is missing`, at);
    if (approved !== undefined && !(await approved(one)))
      findings.add('GAP', `leaves of ${log} below ${below} were pruned for action ${action}, which two people never approved`, at);
  }
}

class TreeCheck {
  private readonly frontier = new Frontier();
  private notes = 0;
  private pending: KeptNote[] = [];
  private exhausted = false;
  private readonly tiles = new Map<string, { level: number; index: bigint; first: number; hashes: Hash[] }>();

  constructor(
    private readonly options: VerifyStoreOptions,
    private readonly keys: readonly TrustedKey[],
    private readonly findings: Findings,
    private readonly head: AuditHead,
    private readonly base: TreeBase | undefined,
    private readonly pruned: readonly PrunedClass[],
  ) {}

  async run(): Promise<StoreReport['trees'][number]> {
    const { store } = this.options;
    const { log, logId, size } = this.head;
    const tree = { tree: log };
    const { base } = this;
    const first = base?.size ?? 0n;
    const sequence = new LeafSequence(this.findings, log, logId, first, base?.previousLeaf ?? null);
    const derived = await this.derivedLeaves();
    const terms = new TermsComparison(
      store,
      this.findings,
      log,
      base === undefined ? undefined : await store.lastTermBlock(log, first / 256n),
    );
    if (base !== undefined) await this.belowBase(base, derived, terms);
    for await (const page of store.leaves(log, first, size)) {
      for (const leaf of page.leaves) {
        const at = { ...tree, index: String(leaf.index) };
        await this.compareDerived(derived, leaf);
        this.compareFiling(leaf);
        const hash = sequence.next(leaf.bytes, at);
        this.frontier.append(hash, (node, of) => this.remember(node.level, node.index, of));
        terms.leaf(leaf, hash);
        await this.compareNote(terms);
      }
      await terms.page();
      await this.compareTiles();
      if (log === 'root') await this.compareRootLeaves(page.leaves);
      this.options.progress?.(log, Number(first) + sequence.leaves);
    }
    sequence.end(size, this.head.previousLeaf ?? undefined, tree);
    await derived?.return(undefined);
    this.compareHead();
    await this.beyond();
    return { log, leaves: sequence.leaves, notes: this.notes, verdicts: sequence.verdicts };
  }

  private belowBase(base: TreeBase, derived: AsyncGenerator<Buffer> | undefined, terms: TermsComparison): Promise<void> {
    const { store } = this.options;
    const { findings, frontier, pruned } = this;
    return checkPruned({
      ...{ store, findings, base, pruned, frontier },
      next: async (hash) => {
        frontier.append(hash, (node, of) => this.remember(node.level, node.index, of));
        await this.compareNote(terms);
      },
      derived: async () => {
        if (this.derived < this.derivedFrom) {
          this.derived++;
          return undefined;
        }
        const next = await derived?.next();
        this.derived++;
        return next === undefined || next.done === true ? undefined : next.value;
      },
      filing: (leaf) => this.compareFiling(leaf),
      page: () => this.compareTiles(),
    });
  }

  private compareHead(): void {
    const { log, size, frontier, logId } = this.head;
    const hashes = this.frontier.hashes;
    if (this.frontier.size === size && (hashes.length !== frontier.length || !hashes.every((hash, i) => frontier[i]?.equals(hash)))) {
      this.findings.add('ROOT', `the head of ${log} has another frontier than its leaves give`, { tree: log, index: String(size) });
    }
    if (logId === '') this.findings.add('MALFORMED', `the head of ${log} names no log`, { tree: log });
  }

  private async compareNote(terms: TermsComparison): Promise<void> {
    const note = await this.nextNote();
    if (note === undefined || note.size !== this.frontier.size) return;
    this.pending.shift();
    this.notes++;
    terms.note(note.size, note.terms);
    const at = { tree: this.head.log, index: String(note.size) };
    const opened = this.open(note);
    if (opened === undefined) return;
    if (!opened.root.equals(this.frontier.root())) {
      this.findings.add('ROOT', `the leaves of ${this.head.log} do not give the root that was signed at size ${note.size}`, at);
    }
  }

  private open(note: KeptNote): CheckpointNote | undefined {
    const { log, logId } = this.head;
    const at = { tree: log, index: String(note.size) };
    try {
      const opened = openTrustedNote(note.note, this.keys);
      if (opened.origin === originOf(nameOf(this.keys), logId, log) && opened.size === note.size && opened.root.equals(note.root))
        return opened;
      this.findings.add('SIGNATURE', `the note of ${log} kept for size ${note.size} says something else`, at);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.findings.add('SIGNATURE', `the note of ${log} at size ${note.size} is not signed by the trusted key: ${reason}`, at);
    }
    return undefined;
  }

  private async nextNote(): Promise<KeptNote | undefined> {
    if (this.pending.length === 0 && !this.exhausted) {
      this.pending = [...(await this.options.store.notes(this.head.log, this.head.logId, this.frontier.size - 1n, NOTES))];
      this.exhausted = this.pending.length < NOTES;
    }
    return this.pending[0];
  }

  /** Leaves and notes beyond the head: the tree was cut or set back, or something was put behind it. */
  private async beyond(): Promise<void> {
    const { store } = this.options;
    const { log, logId, size } = this.head;
    let extra: StoredLeaf | undefined;
    for await (const page of store.leaves(log, size, size + 1n)) extra = page.leaves[0];
    const [note] = await store.notes(log, logId, size, 1);
    // Read after them: a running auditor may have gone on meanwhile.
    const now = (await store.heads()).find((head) => head.log === log)?.size ?? 0n;
    if (extra !== undefined && now <= size) {
      this.findings.add('REORDER', `${log} has a leaf ${size} behind its head`, { tree: log, index: String(size) });
    }
    if (note !== undefined && now < note.size && this.open(note) !== undefined) {
      this.findings.add('TRUNCATION', `${log} was signed at size ${note.size}, but it has ${now} leaves`, {
        tree: log,
        index: String(now),
      });
    }
  }

  /** Every entry of the root tree has its kept note, and the same. */
  private async compareRootLeaves(leaves: readonly StoredLeaf[]): Promise<void> {
    const notes = await this.options.store.notesInRoot(this.head.logId, leaves[0]?.index ?? 0n, leaves.length);
    const kept = new Map(notes.map((note) => [note.rootIndex, note]));
    for (const { index, bytes } of leaves) {
      const said = readRootLeaf(bytes);
      const note = kept.get(index);
      const at = { tree: 'root', index: String(index) };
      if (note === undefined)
        this.findings.add('GAP', `the note of ${said?.tree ?? '?'} that leaf ${index} of the root tree holds is missing`, at);
      else if (said !== undefined && (note.note !== said.note || note.log !== said.tree)) {
        this.findings.add(
          'SIGNATURE',
          `the kept note of ${note.log} at size ${note.size} is not the one in leaf ${index} of the root tree`,
          at,
        );
      } else if (said !== undefined && note.terms?.toString('hex') !== said.terms?.toString('hex')) {
        this.findings.add(
          'TERMS',
          `the terms kept with the note of ${note.log} at size ${note.size} are not those in leaf ${index} of the root tree`,
          at,
        );
      }
    }
  }

  /** Searches trust these columns. */
  private compareFiling(leaf: StoredLeaf): void {
    if (partitionOfLog(this.head.log) === undefined) return;
    let said;
    try {
      said = filedUnder(leaf.bytes);
    } catch {
      // The sequence names a leaf that cannot be read.
      return;
    }
    const wrong = (Object.keys(said) as (keyof typeof said)[]).filter((name) => said[name] !== leaf[name]);
    if (wrong.length === 0) return;
    const message = `leaf ${leaf.index} of ${this.head.log} is filed under another ${wrong.join(', ')} than it says`;
    this.findings.add('LEAF', message, { tree: this.head.log, index: String(leaf.index) });
  }

  private remember(level: number, index: bigint, hash: Hash): void {
    if (level % TILE_HEIGHT !== 0) return;
    const tile = index >> BigInt(TILE_HEIGHT);
    const key = `${level / TILE_HEIGHT}/${tile}`;
    const known = this.tiles.get(key);
    if (known === undefined) this.tiles.set(key, { level: level / TILE_HEIGHT, index: tile, first: Number(index & 255n), hashes: [hash] });
    else known.hashes.push(hash);
  }

  private async compareTiles(): Promise<void> {
    const wanted = [...this.tiles.values()];
    this.tiles.clear();
    const stored = await this.options.store.tiles(this.head.log, wanted);
    wanted.forEach(({ level, index, first, hashes }, i) => {
      const bad = hashes.findIndex((hash, at) => stored[i]?.subarray((first + at) * 32, (first + at + 1) * 32).equals(hash) !== true);
      if (bad < 0) return;
      const place = index * 256n + BigInt(first + bad);
      const what = level === 0 ? `leaf ${place}` : `the subtree of level ${level * TILE_HEIGHT} at ${place}`;
      const leaf = place << BigInt(TILE_HEIGHT * level);
      this.findings.add('ROOT', `the stored hash of ${what} in ${this.head.log} is not that of its leaves`, {
        tree: this.head.log,
        index: String(leaf),
      });
    });
  }

  /** The leaf that the record of the log gives for this place; derived leaves follow the log alone, so one false leaf does not spoil the next. */
  private async compareDerived(derived: AsyncGenerator<Buffer> | undefined, leaf: StoredLeaf): Promise<void> {
    if (derived === undefined) return;
    let next = await derived.next();
    // Missing leaves are named by the sequence.
    for (this.derived++; this.derived <= leaf.index && next.done !== true; this.derived++) next = await derived.next();
    const at = { tree: this.head.log, index: String(leaf.index) };
    if (next.done === true) this.findings.add('REORDER', `${this.head.log} has a leaf ${leaf.index}, but the log has no record for it`, at);
    else if (!next.value.equals(leaf.bytes))
      this.findings.add('LEAF', `leaf ${leaf.index} of ${this.head.log} is not what the log's record gives`, at);
  }
  private derived = 0n;

  /** Leaves below are not compared with the log: their records were pruned. */
  private derivedFrom = 0n;

  private async derivedLeaves(): Promise<AsyncGenerator<Buffer> | undefined> {
    const { store, log, releases = NO_RELEASES } = this.options;
    const { log: tree, logId, nextOffset: upTo } = this.head;
    const partition = partitionOfLog(tree);
    if (partition === undefined || log === undefined) return undefined;
    const begin = await log.begin(partition);
    if (begin === 0) return deriveLeaves({ store, log, releases, logId, partition, upTo, from: undefined });
    if (this.base === undefined || this.base.nextOffset < begin) {
      const message = `the log begins at offset ${begin} of partition ${partition}, after what ${tree} begins with`;
      this.findings.add('GAP', message, { tree, offset: String(begin) });
      return undefined;
    }
    this.derivedFrom = this.base.size;
    return deriveLeaves({ store, log, releases, logId, partition, upTo, from: this.base });
  }
}

async function compareOutside(
  store: AuditStore,
  keys: readonly TrustedKey[],
  findings: Findings,
  heads: readonly AuditHead[],
  text: string,
): Promise<void> {
  let outside: CheckpointNote;
  try {
    outside = openTrustedNote(text, keys);
  } catch (error) {
    findings.add(
      'SIGNATURE',
      `a note from outside is not signed by the trusted key: ${error instanceof Error ? error.message : String(error)}`,
      {},
    );
    return;
  }
  const head = heads.find(({ log, logId }) => originOf(nameOf(keys), logId, log) === outside.origin);
  if (head === undefined) {
    findings.add('TRUNCATION', `the store has no tree ${outside.origin}`, {});
    return;
  }
  const at = { tree: head.log, index: String(outside.size) };
  const [note] = await store.notes(head.log, head.logId, outside.size - 1n, 1);
  if (note === undefined || head.size < outside.size) {
    findings.add(
      'TRUNCATION',
      `${head.log} was signed at size ${outside.size}; the store was set back to ${note === undefined ? 'before that' : head.size}`,
      at,
    );
  } else if (note.size === outside.size && !note.root.equals(outside.root)) {
    findings.add(
      'FORK',
      `two signed histories of ${head.log} at size ${outside.size}: root ${outside.root.toString('base64')} and ${note.root.toString('base64')}`,
      at,
    );
  } else if (note.size !== outside.size) {
    findings.add('FORK', `a note of ${head.log} at size ${outside.size} was released that the store does not know`, at);
  }
}
