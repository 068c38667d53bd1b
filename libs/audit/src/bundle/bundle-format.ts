import type { Term } from '../terms/index.js';

/*
 * A bundle is a BagIt bag (RFC 8493) packed as one ustar file. Members, in this order, so that one streaming pass verifies them:
 *   bagit.txt
 *   verify.mjs                        the verifier, where the writer has it                                          since /2
 *   data/export.json                  what was exported (ExportDescription)
 *   data/trust.policy                 which keys sign these trees and who witnesses them (C2SP tlog-policy)        since /2
 *   data/root-checkpoint              the root tree's signed note
 *   data/root-consistency.json        an earlier note of the root tree and the proof that this one continues it     since /2
 *   data/root-cosigned.json           where it has no quorum of witnesses: the newest earlier note that has, and proof    since /2
 *   data/timestamp.json, .note, .tsr  the newest timestamp (RFC 3161) of a note of the root tree: about it, note, token   since /2
 *   per tree:
 *     data/<tree>/checkpoint          its signed note
 *     data/<tree>/proof.json          how the leaves hang in that note's tree (TreeProof)
 *     data/<tree>/terms-000000.bin    filtered by a term: the summaries of just the blocks whose leaves follow
 *     data/<tree>/entries-000000.ndjson, …   exact leaf bytes, one leaf a line; filtered by a term: others as index and hash
 *     data/bodies/<tree>-000000.ndjson, …    where asked for: the records of just these leaves, line by line
 *   manifest-sha256.txt               SHA-256 of every file under data/
 *   tagmanifest-sha256.txt            SHA-256 of bagit.txt, verify.mjs and the manifest                               since /2
 *   MANIFEST.note                     signed note over the SHA-256 of both manifests
 * docs/reference/audit-export.md says the same to people.
 */
export const BUNDLE_FORMAT = 'fabula-audit-export/2';
/** Still verified; no longer written. */
export const FIRST_BUNDLE_FORMAT = 'fabula-audit-export/1';
export const BAGIT = 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n';
export const MANIFEST = 'manifest-sha256.txt';
export const TAG_MANIFEST = 'tagmanifest-sha256.txt';
export const VERIFIER = 'verify.mjs';
export const ROOT_COSIGNED = 'data/root-cosigned.json';
/** `TimestampAbout`, the exact bytes that the token is about, and the authority's whole answer (DER). */
export const TIMESTAMP_ABOUT = 'data/timestamp.json';
export const TIMESTAMP_NOTE = 'data/timestamp.note';
export const TIMESTAMP_TOKEN = 'data/timestamp.tsr';
/** An entries file ends with the first leaf, filtered by a term the first block, that reaches this. */
export const ENTRIES_BYTES = 1024 * 1024;
/** Every other file is smaller than this. */
export const MAX_SMALL_FILE = 8 * 1024 * 1024;
export const MAX_LINE = 65_535;
/** A record of 128 KiB in base64, and some more. */
export const MAX_BODY_LINE = 256 * 1024;

const numbered = (n: number): string => String(n).padStart(6, '0');
export const entriesFile = (tree: string, n: number): string => `data/${tree}/entries-${numbered(n)}.ndjson`;
export const bodiesFile = (tree: string, n: number): string => `data/bodies/${tree}-${numbered(n)}.ndjson`;
export const termsFile = (tree: string, n: number): string => `data/${tree}/terms-${numbered(n)}.bin`;

/** What an export was narrowed down to: the leaves with one term, or those in a time (log time in ms, from ≤ time < to). */
export type ExportFilter =
  { readonly kind: 'term'; readonly term: Term } | { readonly kind: 'time'; readonly from?: string; readonly to?: string };

/** Sizes and indexes are decimal strings, hashes base64. */
export interface ExportDescription {
  readonly format: typeof BUNDLE_FORMAT | typeof FIRST_BUNDLE_FORMAT;
  readonly id: string;
  /** Event log whose records these leaves are of. */
  readonly logId: string;
  readonly vkey: string;
  /** The trust policy, when keys were replaced: the same key and those before it with their limits. */
  readonly trust?: string;
  /** ms since the epoch. */
  readonly createdAt: string;
  /** Whether the records that the shown leaves are about go along. */
  readonly bodies?: true;
  /** Absent: all leaves of the ranges. */
  readonly filter?: ExportFilter;
  /** What was ordered, as the exporter says; absent: before exports said so. What is proved of it, `check-coverage.ts` says. */
  readonly asked?: 'everything' | 'part';
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

/** An earlier signed note, and the proof that the one beside it continues it. */
export interface ConsistencyWith {
  readonly note: string;
  readonly hashes: readonly string[];
}

/** Beside a timestamp: where it was asked for, and the proof that the bundle's root tree continues the stamped note. */
export interface TimestampAbout {
  readonly authority: string;
  readonly hashes: readonly string[];
}

export interface TreeProof {
  /** Hashes of `cover(0, from)` and `cover(to, size)`, size being the checkpoint's. */
  readonly left: readonly string[];
  readonly right: readonly string[];
  /** That the checkpoint is an entry of the root tree; null for the root tree itself. */
  readonly inRoot: { readonly index: string; readonly leaf: string; readonly hashes: readonly string[] } | null;
  readonly previous: ConsistencyWith | null;
  /** Filtered by a term: the hashes around the exported blocks' summaries in the tree over all of them, whose root `inRoot.leaf` names. */
  readonly terms?: { readonly left: readonly string[]; readonly right: readonly string[] };
}

/** A leaf that a filtered export does not show. */
export function redactedLine(index: bigint, hash: Buffer): string {
  return `{"h":"${hash.toString('hex')}","i":"${index}"}`;
}
const REDACTED = /^\{"h":"([0-9a-f]{64})","i":"(0|[1-9][0-9]{0,18})"\}$/;

/** The inverse; undefined for every other line. */
export function parseRedacted(line: Buffer): { readonly hash: Buffer; readonly index: bigint } | undefined {
  // Shorter than any leaf.
  if (line.length > 110) return undefined;
  const match = REDACTED.exec(line.toString('latin1'));
  return match === null ? undefined : { hash: Buffer.from(match[1] as string, 'hex'), index: BigInt(match[2] as string) };
}

/** A policy for a log that nobody witnesses; `trust`: what is known of replaced keys, for people, since C2SP has no limits of keys. */
export function plainPolicy(vkey: string, trust = ''): string {
  const replaced = trust.split('\n').filter((line) => line.startsWith('log-until '));
  return `log ${vkey}\n${replaced.map((line) => `# ${line}\n`).join('')}quorum none\n`;
}

/** The text that MANIFEST.note signs; `tags`: SHA-256 of the manifest of tag files, since /2. */
export function manifestStatement(name: string, sha256: string, tags?: string): string {
  return `${name}/export\n${sha256}  ${MANIFEST}\n${tags === undefined ? '' : `${tags}  ${TAG_MANIFEST}\n`}`;
}
