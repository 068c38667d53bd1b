import { canonicalJson } from '#lib/canonical';
import type { LogId } from '#lib/log';
import type { AuditStore } from '../audit-store.js';
import { trustOf } from '../keys/kept-keys.js';
import { originOf } from '../notary.js';
import { formatTrust, leafHash, signNote, type NoteSigner } from '../tlog/index.js';
import {
  BAGIT,
  BUNDLE_FORMAT,
  MANIFEST,
  manifestStatement,
  plainPolicy,
  ROOT_COSIGNED,
  TAG_MANIFEST,
  TIMESTAMP_ABOUT,
  TIMESTAMP_NOTE,
  TIMESTAMP_TOKEN,
  VERIFIER,
  type ConsistencyWith,
  type ExportDescription,
  type ExportedTree,
  type TimestampAbout,
  type TreeProof,
} from './bundle-format.js';
import type { RecordBodies } from './bodies.js';
import type { ExportPart, ExportPlan } from './plan-export.js';
import { MemberSink, sha256 } from './member-sink.js';
import type { RootEvidence } from './root-evidence.js';
import type { WrittenMember } from './part-file.js';
import { TAR_END } from './tar.js';
import { continuation, leafAt, proofOf } from './tree-proof.js';
import { writeEntries, writeFilteredEntries } from './write-entries.js';

export { ExportRefused, planExport, type ExportPlan, type PlanOptions } from './plan-export.js';

export interface BundleOptions {
  readonly store: AuditStore;
  readonly logId: LogId;
  readonly signer: NoteSigner;
  /** The key before it, while both sign: whoever has not heard of the new one yet verifies the manifest with it. */
  readonly previousSigner?: NoteSigner;
  readonly id: string;
  readonly createdAt: number;
  readonly plan: ExportPlan;
  /** What was ordered, which the bundle says; default: nothing is said. */
  readonly asked?: 'everything' | 'part';
  /** C2SP tlog-policy: keys and witnesses of these trees; default: the signer's key, and no witness. */
  readonly policy?: string;
  /** The root tree's note of the plan with cosignatures below; default: the note alone. */
  readonly rootNote?: string;
  /** What others say of earlier notes of the root tree; default: nothing. */
  readonly evidence?: RootEvidence;
  /** The verifier as one file that needs only Node: goes along; default: none. */
  readonly verifier?: Buffer;
  /** Files that lie whole in the archive already, which `write` goes on with; default: none. */
  readonly written?: ReadonlyMap<string, WrittenMember>;
  /** Takes the records along that the shown leaves are about; default: none. */
  readonly bodies?: RecordBodies;
  /** An entries file ends once it has so many; default: 1 MiB. */
  readonly entriesBytes?: number;
  /** Takes the archive's bytes in order; its promise is the back-pressure. */
  readonly write: (bytes: Buffer) => Promise<void>;
  /** After every page of leaves. @throws to stop the export */
  readonly progress?: (leavesWritten: number) => Promise<void> | void;
}

/**
 * Writes a bundle in one pass; memory is one page of leaves and one entries file. Answers the SHA-256 (hex) of its manifest, by which it is named.
 * @throws PartDiffers when what was written already is not its beginning
 */
export async function writeBundle(options: BundleOptions): Promise<{ readonly manifestSha256: string }> {
  const { store, logId, signer, plan } = options;
  const { filter } = plan;
  const sink = new MemberSink(options.write, options.written, options.entriesBytes);
  await sink.write('bagit.txt', Buffer.from(BAGIT));
  if (options.verifier !== undefined) await sink.write(VERIFIER, options.verifier);
  const description = await describe(options);
  await sink.write('data/export.json', json(description));
  await sink.write('data/trust.policy', Buffer.from(options.policy ?? plainPolicy(description.vkey, description.trust)));
  await sink.write('data/root-checkpoint', Buffer.from(options.rootNote ?? plan.root.note));
  await sink.write('data/root-consistency.json', json({ previous: await continuation(store, plan.root, plan.rootPrevious) }));
  await writeEvidence(sink, options);
  let leaves = 0;
  const written = (more: number): Promise<void> | void => options.progress?.((leaves += more));
  for (const part of plan.parts) {
    await sink.write(`data/${part.log}/checkpoint`, Buffer.from(part.note.note));
    await sink.write(`data/${part.log}/proof.json`, json(await proofOf(store, logId, part, plan)));
    if (filter?.kind === 'term' && part.log !== 'root')
      await writeFilteredEntries({ store, part, sink, written, bodies: options.bodies }, filter.term);
    else await writeEntries({ store, part, sink, written, bodies: options.bodies });
  }
  const signers = options.previousSigner === undefined ? [signer] : [signer, options.previousSigner];
  const manifest = sink.manifest('payload');
  await sink.write(MANIFEST, manifest);
  const tagManifest = sink.manifest('tags');
  await sink.write(TAG_MANIFEST, tagManifest);
  const manifestSha256 = sha256(manifest);
  const statement = manifestStatement(signer.name, manifestSha256, sha256(tagManifest));
  await sink.write('MANIFEST.note', Buffer.from(signNote(statement, ...signers)));
  await options.write(TAR_END);
  return { manifestSha256 };
}

async function writeEvidence(sink: MemberSink, { store, plan, evidence }: BundleOptions): Promise<void> {
  const { cosigned, timestamp } = evidence ?? {};
  if (cosigned !== undefined) await sink.write(ROOT_COSIGNED, json(await continuation(store, plan.root, cosigned)));
  if (timestamp === undefined) return;
  const hashes = (await continuation(store, plan.root, timestamp))?.hashes ?? [];
  await sink.write(TIMESTAMP_ABOUT, json({ authority: timestamp.authority, hashes }));
  await sink.write(TIMESTAMP_NOTE, Buffer.from(timestamp.note));
  await sink.write(TIMESTAMP_TOKEN, timestamp.response);
}

async function describe({ store, logId, signer, id, createdAt, plan, bodies, asked }: BundleOptions): Promise<ExportDescription> {
  const trees: ExportedTree[] = [];
  for (const part of plan.parts) {
    trees.push({
      tree: part.log,
      origin: originOf(signer.name, logId, part.log),
      from: String(part.from),
      to: String(part.to),
      lastLeaf: await lastLeafOf(store, part),
    });
  }
  const vkey = signer.verifier.vkey;
  const kept = await store.signingKeys(logId);
  return {
    format: BUNDLE_FORMAT,
    id,
    logId,
    vkey,
    ...(kept.length > 1 ? { trust: formatTrust(trustOf(kept)) } : {}),
    createdAt: String(createdAt),
    ...(plan.filter === undefined ? {} : { filter: plan.filter }),
    ...(bodies === undefined ? {} : { bodies: true }),
    ...(asked === undefined ? {} : { asked }),
    trees,
  };
}

async function lastLeafOf(store: AuditStore, { log, from, to }: ExportPart): Promise<string | null> {
  return to === from ? null : leafHash(await leafAt(store, log, to - 1n)).toString('base64');
}

type Written = ExportDescription | TreeProof | TimestampAbout | ConsistencyWith | null | { readonly previous: ConsistencyWith | null };
function json(value: Written): Buffer {
  return Buffer.from(`${canonicalJson(value)}\n`);
}
