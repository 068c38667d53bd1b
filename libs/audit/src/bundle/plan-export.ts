import type { LogId } from '#lib/log';
import { heldInRoot, type AuditStore, type KeptNote } from '../audit-store.js';
import type { ExportRange } from '../export-job.js';
import { partitionOfLog, type LogName } from '../log-name.js';
import { LeavesPruned, type TreeBase } from '../retention/tree-base.js';
import { BLOCK_LEAVES } from '../terms/index.js';
import type { ExportFilter } from './bundle-format.js';

/** What was asked for cannot be exported: an unknown tree, or leaves that no note covers yet. */
export class ExportRefused extends RangeError {
  override readonly name = 'ExportRefused';
}

/** One tree's part of an export, resolved against the newest notes. */
export interface ExportPart {
  readonly log: LogName;
  readonly from: bigint;
  readonly to: bigint;
  readonly note: KeptNote;
  readonly previous: KeptNote | undefined;
}
export interface ExportPlan {
  readonly parts: readonly ExportPart[];
  readonly root: KeptNote;
  /** An earlier note of the root tree, which this export is to continue. */
  readonly rootPrevious: KeptNote | undefined;
  readonly filter: ExportFilter | undefined;
  readonly leaves: number;
}
export interface PlanOptions {
  readonly filter?: ExportFilter;
  /** Size of an earlier note of the root tree that the receiver has. */
  readonly rootSince?: bigint;
  /** Sizes of the notes to use, as an earlier plan had them; default: the newest. */
  readonly signed?: ReadonlyMap<LogName, bigint>;
}

/** @throws ExportRefused when a range is not inside a signed tree, or cannot be filtered so; LeavesPruned when leaves of it are gone */
export async function planExport(
  store: AuditStore,
  logId: LogId,
  ranges: readonly ExportRange[],
  { filter, rootSince, signed }: PlanOptions = {},
): Promise<ExportPlan> {
  const rootSize = signed?.get('root');
  const root = rootSize === undefined ? await store.latestNote('root', logId) : await noteAt(store, logId, 'root', rootSize, true);
  if (root === undefined) throw new ExportRefused('nothing is signed yet');
  if (ranges.length === 0 || new Set(ranges.map(({ log }) => log)).size !== ranges.length)
    throw new ExportRefused('each tree is named once');
  if (filter !== undefined && ranges.every(({ log }) => log === 'root'))
    throw new ExportRefused('root alone cannot be filtered: it goes along whole beside trees of partitions');
  const parts: ExportPart[] = [];
  const bases = await store.bases(logId);
  for (const { log, from, to, since } of ranges) {
    const size = signed?.get(log);
    const note =
      log === 'root'
        ? root
        : size === undefined
          ? await newestInRoot(store, logId, log, root.size)
          : heldBy(root.size, await noteAt(store, logId, log, size, true));
    if (note === undefined) throw new ExportRefused(`${log} has no signed note yet`);
    const end = to ?? note.size;
    if (from < 0n || from > end || end > note.size)
      throw new ExportRefused(`${log} is signed up to ${note.size}: leaves ${from}…${end} are not a range of it`);
    const base = bases.find((one) => one.log === log);
    const range = filter === undefined || log === 'root' ? { from, to: end } : await filtered(store, note, filter, { from, to: end }, base);
    if (base !== undefined && range.from < base.size && range.to > range.from) throw new LeavesPruned(log, base.size);
    parts.push({ log, ...range, note, previous: await noteAt(store, logId, log, since ?? range.from, since !== undefined) });
  }
  const rootPrevious = rootSince === undefined ? undefined : await noteAt(store, logId, 'root', rootSince, true);
  return { parts, root, rootPrevious, filter, leaves: Number(parts.reduce((sum, part) => sum + part.to - part.from, 0n)) };
}

interface Range {
  readonly from: bigint;
  readonly to: bigint;
}

async function filtered(store: AuditStore, note: KeptNote, filter: ExportFilter, range: Range, base: TreeBase | undefined): Promise<Range> {
  const { log, size } = note;
  if (partitionOfLog(log) === undefined) throw new ExportRefused(`${log} cannot be filtered: only the trees of partitions can`);
  if (filter.kind === 'term') {
    if (note.terms === undefined)
      throw new ExportRefused(`no note of ${log} says yet which terms its leaves have: try after the next note`);
    return wholeBlocks(range, size);
  }
  const first = base?.size ?? 0n;
  if (range.from > first || range.to < size) throw new ExportRefused('a time and a range of leaves are not asked for together');
  const [from, to] = [Number(filter.from ?? 0), Number(filter.to ?? Number.MAX_SAFE_INTEGER)];
  if (from > to) throw new ExportRefused('the time ends before it begins');
  const span = (await store.timeSpan(log, from, to)) ?? (await emptySpan(store, log, from));
  const inside = {
    from: filter.from === undefined ? 0n : least(span.from, size),
    to: filter.to === undefined ? size : least(span.to, size),
  };
  // One neighbour on either side is the witness that nothing belongs before or behind.
  return { from: inside.from > 0n ? inside.from - 1n : 0n, to: least(inside.to + 1n, size) };
}

/** Nothing lies in the time: the place where it would. */
async function emptySpan(store: AuditStore, log: LogName, from: number): Promise<Range> {
  const at = (await store.timeSpan(log, 0, from))?.to ?? 0n;
  return { from: at, to: at };
}

/** The blocks in which the range lies: the summary of a block speaks of all its leaves. */
function wholeBlocks({ from, to }: Range, size: bigint): Range {
  const block = BigInt(BLOCK_LEAVES);
  const start = from - (from % block);
  return { from: start, to: to === from ? start : least(((to + block - 1n) / block) * block, size) };
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** The note as a root tree of that size holds it. */
function heldBy(rootSize: bigint, note: KeptNote | undefined): KeptNote | undefined {
  return note === undefined ? undefined : heldInRoot(note).findLast(({ rootIndex }) => (rootIndex ?? 0n) < rootSize);
}

/** The newest note that the root note covers; the very newest may be a moment ahead of it. */
export async function newestInRoot(store: AuditStore, logId: LogId, log: LogName, rootSize: bigint): Promise<KeptNote | undefined> {
  const newest = await store.latestNote(log, logId);
  if (newest === undefined) return undefined;
  const held = heldBy(rootSize, newest);
  if (held !== undefined) return held;
  let found: KeptNote | undefined;
  for (let above = -1n; ;) {
    const page = await store.notes(log, logId, above, 1000);
    for (const note of page) found = heldBy(rootSize, note) ?? found;
    if (page.length < 1000) return found;
    above = page.at(-1)?.size ?? above;
  }
}

/** The note of that size, if one was signed there. */
async function noteAt(store: AuditStore, logId: LogId, log: LogName, size: bigint, asked: boolean): Promise<KeptNote | undefined> {
  const [note] = size === 0n ? [] : await store.notes(log, logId, size - 1n, 1);
  if (note?.size === size) return note;
  if (asked) throw new ExportRefused(`no note of ${log} was signed at size ${size}`);
  return undefined;
}
