/*
 * A bundle is a BagIt bag (RFC 8493) packed as one ustar file. Members, in this order, so that one streaming pass verifies them:
 *   bagit.txt
 *   data/export.json                  what was exported (ExportDescription)
 *   data/root-checkpoint              the root tree's signed note
 *   per tree:
 *     data/<tree>/checkpoint          its signed note
 *     data/<tree>/proof.json          how the leaves hang in that note's tree (TreeProof)
 *     data/<tree>/entries-000000.ndjson, -000001, …   exact leaf bytes, one leaf a line
 *   manifest-sha256.txt               SHA-256 of every file under data/
 *   MANIFEST.note                     signed note over the manifest's SHA-256
 * docs/reference/audit-export.md says the same to people.
 */
export const BUNDLE_FORMAT = 'fabula-audit-export/1';
export const BAGIT = 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n';
/** An entries file ends with the first leaf that reaches this. */
export const ENTRIES_BYTES = 4 * 1024 * 1024;
/** Every other file is smaller than this. */
export const MAX_SMALL_FILE = 8 * 1024 * 1024;
export const MAX_LINE = 65_535;

export const entriesFile = (tree: string, n: number): string => `data/${tree}/entries-${String(n).padStart(6, '0')}.ndjson`;

/** Sizes and indexes are decimal strings, hashes base64. */
export interface ExportDescription {
  readonly format: typeof BUNDLE_FORMAT;
  readonly id: string;
  /** Event log whose records these leaves are of. */
  readonly logId: string;
  readonly vkey: string;
  /** The trust policy, when keys were replaced: the same key and those before it with their limits. */
  readonly trust?: string;
  /** ms since the epoch. */
  readonly createdAt: string;
  readonly trees: readonly ExportedTree[];
}
export interface ExportedTree {
  readonly tree: string;
  readonly origin: string;
  readonly from: string;
  readonly to: string;
  /** Leaf hash of leaf `to - 1`; null when the range is empty. */
  readonly lastLeaf: string | null;
}

export interface TreeProof {
  /** Hashes of `cover(0, from)` and `cover(to, size)`, size being the checkpoint's. */
  readonly left: readonly string[];
  readonly right: readonly string[];
  /** That the checkpoint is an entry of the root tree; null for the root tree itself. */
  readonly inRoot: { readonly index: string; readonly leaf: string; readonly hashes: readonly string[] } | null;
  /** An earlier signed note, and the proof that the checkpoint's tree extends it. */
  readonly previous: { readonly note: string; readonly hashes: readonly string[] } | null;
}

/** The text that MANIFEST.note signs. */
export function manifestStatement(name: string, sha256: string): string {
  return `${name}/export\n${sha256}  manifest-sha256.txt\n`;
}
