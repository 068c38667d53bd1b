import type { LogId } from '#lib/log';
import type { AuditStore, KeptNote } from '../audit-store.js';
import type { LogName } from '../log-name.js';
import { blocksOf } from '../terms/index.js';
import { catchUpTerms } from '../terms/keep-terms.js';
import { partialSummary, termHashReader } from '../terms/prove-terms.js';
import {
  leafIndex,
  proveConsistency,
  proveInclusion,
  proveRange,
  tileHashReader,
  treeRoot,
  treeSize,
  type HashReader,
} from '../tlog/index.js';
import { BLOCK_LEAVES, blockOf } from '../terms/index.js';
import type { ConsistencyWith, TreeProof } from './bundle-format.js';
import type { ExportPart, ExportPlan } from './plan-export.js';

const texts = (hashes: readonly Buffer[]): string[] => hashes.map((hash) => hash.toString('base64'));
const readerOf = (store: AuditStore, log: LogName): HashReader => tileHashReader((tiles) => store.tiles(log, tiles));

/** How a part's leaves hang in its note's tree, that note in the root tree, and filtered by a term: the summaries in what was signed with it. */
export async function proofOf(store: AuditStore, logId: LogId, part: ExportPart, plan: ExportPlan): Promise<TreeProof> {
  const reader = readerOf(store, part.log);
  const range = await proveRange(reader, treeSize(part.note.size), leafIndex(part.from), leafIndex(part.to));
  const { rootIndex } = part.note;
  let inRoot: TreeProof['inRoot'] = null;
  if (rootIndex !== null) {
    inRoot = {
      index: String(rootIndex),
      leaf: (await leafAt(store, 'root', rootIndex)).toString('utf8'),
      hashes: texts(await proveInclusion(readerOf(store, 'root'), treeSize(plan.root.size), leafIndex(rootIndex))),
    };
  }
  return {
    left: texts(range.left),
    right: texts(range.right),
    inRoot,
    previous: await continuation(store, part.note, part.previous),
    ...(plan.filter?.kind === 'term' && part.log !== 'root' ? { terms: await termsProof(store, logId, part) } : {}),
  };
}

/** That a note continues an earlier one of its tree. */
export async function continuation(
  store: AuditStore,
  note: KeptNote,
  previous: Pick<KeptNote, 'size' | 'note'> | undefined,
): Promise<ConsistencyWith | null> {
  if (previous === undefined) return null;
  const hashes = await proveConsistency(readerOf(store, note.log), treeSize(note.size), treeSize(previous.size));
  return { note: previous.note, hashes: texts(hashes) };
}

async function termsProof(store: AuditStore, logId: LogId, { log, note, from, to }: ExportPart): Promise<NonNullable<TreeProof['terms']>> {
  // After a rebuild nobody may have kept them yet.
  await catchUpTerms(store, log, logId, note.size / BigInt(BLOCK_LEAVES));
  const reader = termHashReader(store, log, note.size, await partialSummary(store, log, note.size));
  const count = treeSize(blocksOf(note.size));
  if (note.terms === undefined || !(await treeRoot(reader, count)).equals(note.terms))
    throw new Error(`the kept term blocks of ${log} are not those that were signed at size ${note.size}: run \`fabula audit rebuild\``);
  const { left, right } = await proveRange(reader, count, leafIndex(blockOf(from)), leafIndex(blocksOf(to)));
  return { left: texts(left), right: texts(right) };
}

export async function leafAt(store: AuditStore, log: LogName, index: bigint): Promise<Buffer> {
  for await (const page of store.leaves(log, index, index + 1n)) {
    const leaf = page.leaves[0];
    if (leaf !== undefined) return leaf.bytes;
  }
  throw missingLeaf(log, index);
}

export function missingLeaf(log: LogName, index: bigint): Error {
  return new Error(`leaf ${index} of ${log} is missing from the store: find out why with \`fabula audit verify --store\``);
}
