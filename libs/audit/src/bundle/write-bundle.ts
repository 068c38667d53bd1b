import { createHash } from 'node:crypto';
import { canonicalJson } from '#lib/canonical';
import type { LogId } from '#lib/log';
import type { AuditStore, KeptNote } from '../audit-store.js';
import type { ExportRange } from '../export-job.js';
import type { LogName } from '../log-name.js';
import { originOf } from '../notary.js';
import {
  leafHash,
  leafIndex,
  proveConsistency,
  proveInclusion,
  proveRange,
  signNote,
  tileHashReader,
  treeSize,
  type NoteSigner,
} from '../tlog/index.js';
import {
  BAGIT,
  BUNDLE_FORMAT,
  ENTRIES_BYTES,
  entriesFile,
  manifestStatement,
  type ExportDescription,
  type ExportedTree,
  type TreeProof,
} from './bundle-format.js';
import { TAR_END, tarMember } from './tar.js';

/** What was asked for cannot be exported: an unknown tree, or leaves that no note covers yet. */
export class ExportRefused extends RangeError {
  override readonly name = 'ExportRefused';
}

/** One tree's part of an export, resolved against the newest notes. */
interface Part {
  readonly log: LogName;
  readonly from: bigint;
  readonly to: bigint;
  readonly note: KeptNote;
  readonly previous: KeptNote | undefined;
}
export interface ExportPlan {
  readonly parts: readonly Part[];
  readonly root: KeptNote;
  readonly leaves: number;
}

/** @throws ExportRefused when a range is not inside a signed tree. */
export async function planExport(store: AuditStore, logId: LogId, ranges: readonly ExportRange[]): Promise<ExportPlan> {
  const root = await store.latestNote('root', logId);
  if (root === undefined) throw new ExportRefused('nothing is signed yet');
  if (ranges.length === 0 || new Set(ranges.map(({ log }) => log)).size !== ranges.length)
    throw new ExportRefused('each tree is named once');
  const parts: Part[] = [];
  for (const { log, from, to, since } of ranges) {
    const note = log === 'root' ? root : await newestInRoot(store, logId, log, root.size);
    if (note === undefined) throw new ExportRefused(`${log} has no signed note yet`);
    const end = to ?? note.size;
    if (from < 0n || from > end || end > note.size)
      throw new ExportRefused(`${log} is signed up to ${note.size}: leaves ${from}…${end} are not a range of it`);
    parts.push({ log, from, to: end, note, previous: await noteAt(store, logId, log, since ?? from, since !== undefined) });
  }
  return { parts, root, leaves: Number(parts.reduce((sum, part) => sum + part.to - part.from, 0n)) };
}

/** The newest note that the root note covers; the very newest may be a moment ahead of it. */
async function newestInRoot(store: AuditStore, logId: LogId, log: LogName, rootSize: bigint): Promise<KeptNote | undefined> {
  const newest = await store.latestNote(log, logId);
  if (newest === undefined || (newest.rootIndex ?? 0n) < rootSize) return newest;
  let found: KeptNote | undefined;
  for (let above = -1n; ;) {
    const page = await store.notes(log, logId, above, 1000);
    for (const note of page) if ((note.rootIndex ?? 0n) < rootSize) found = note;
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

export interface BundleOptions {
  readonly store: AuditStore;
  readonly logId: LogId;
  readonly signer: NoteSigner;
  readonly id: string;
  readonly createdAt: number;
  readonly plan: ExportPlan;
  /** Takes the archive's bytes in order; its promise is the back-pressure. */
  readonly write: (bytes: Buffer) => Promise<void>;
  /** After every page of leaves. @throws to stop the export */
  readonly progress?: (leavesWritten: number) => Promise<void> | void;
}

/** Writes a bundle in one pass; memory is one page of leaves and one entries file. */
export async function writeBundle(options: BundleOptions): Promise<void> {
  const { store, logId, signer, plan } = options;
  const manifest: string[] = [];
  const member = async (name: string, content: Buffer): Promise<void> => {
    if (name.startsWith('data/')) manifest.push(`${createHash('sha256').update(content).digest('hex')}  ${name}\n`);
    await options.write(tarMember(name, content));
  };
  const trees: ExportedTree[] = [];
  for (const part of plan.parts) {
    const last = part.to > part.from ? await leafAt(store, part.log, part.to - 1n) : undefined;
    trees.push({
      tree: part.log,
      origin: originOf(signer.name, logId, part.log),
      from: String(part.from),
      to: String(part.to),
      lastLeaf: last === undefined ? null : leafHash(last).toString('base64'),
    });
  }
  const description: ExportDescription = {
    format: BUNDLE_FORMAT,
    id: options.id,
    logId,
    vkey: signer.verifier.vkey,
    createdAt: String(options.createdAt),
    trees,
  };
  await member('bagit.txt', Buffer.from(BAGIT));
  await member('data/export.json', json(description));
  await member('data/root-checkpoint', Buffer.from(plan.root.note));
  let written = 0;
  for (const part of plan.parts) {
    await member(`data/${part.log}/checkpoint`, Buffer.from(part.note.note));
    await member(`data/${part.log}/proof.json`, json(await proofOf(store, part, plan.root)));
    let files = 0;
    let pending: Buffer[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      if (bytes === 0) return;
      await member(entriesFile(part.log, files++), Buffer.concat(pending));
      pending = [];
      bytes = 0;
    };
    let next = part.from;
    for await (const page of store.leaves(part.log, part.from, part.to)) {
      for (const leaf of page.leaves) {
        if (leaf.index !== next++) throw missing(part.log, next - 1n);
        pending.push(leaf.bytes, NEWLINE);
        bytes += leaf.bytes.length + 1;
        if (bytes >= ENTRIES_BYTES) await flush();
      }
      written += page.leaves.length;
      await options.progress?.(written);
    }
    if (next !== part.to) throw missing(part.log, next);
    await flush();
  }
  const text = manifest.join('');
  await member('manifest-sha256.txt', Buffer.from(text));
  const sha256 = createHash('sha256').update(text).digest('hex');
  await member('MANIFEST.note', Buffer.from(signNote(manifestStatement(signer.name, sha256), signer)));
  await options.write(TAR_END);
}

const NEWLINE = Buffer.from('\n');

function json(value: ExportDescription | TreeProof): Buffer {
  return Buffer.from(`${canonicalJson(value)}\n`);
}

async function leafAt(store: AuditStore, log: LogName, index: bigint): Promise<Buffer> {
  for await (const page of store.leaves(log, index, index + 1n)) {
    const leaf = page.leaves[0];
    if (leaf !== undefined) return leaf.bytes;
  }
  throw missing(log, index);
}

function missing(log: LogName, index: bigint): Error {
  return new Error(`leaf ${index} of ${log} is missing from the store: find out why with \`fabula audit verify --store\``);
}

async function proofOf(store: AuditStore, part: Part, root: KeptNote): Promise<TreeProof> {
  const reader = tileHashReader((tiles) => store.tiles(part.log, tiles));
  const { size } = part.note;
  const range = await proveRange(reader, treeSize(size), leafIndex(part.from), leafIndex(part.to));
  const text = (hashes: readonly Buffer[]): string[] => hashes.map((hash) => hash.toString('base64'));
  const { rootIndex } = part.note;
  let inRoot: TreeProof['inRoot'] = null;
  if (rootIndex !== null) {
    const rootReader = tileHashReader((tiles) => store.tiles('root', tiles));
    inRoot = {
      index: String(rootIndex),
      leaf: (await leafAt(store, 'root', rootIndex)).toString('utf8'),
      hashes: text(await proveInclusion(rootReader, treeSize(root.size), leafIndex(rootIndex))),
    };
  }
  const { previous } = part;
  return {
    left: text(range.left),
    right: text(range.right),
    inRoot,
    previous:
      previous === undefined
        ? null
        : { note: previous.note, hashes: text(await proveConsistency(reader, treeSize(size), treeSize(previous.size))) },
  };
}
