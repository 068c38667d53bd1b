import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { MalformedPolicy, parsePolicy, type Policy } from '../witness/policy.js';
import { parseTrust, type CheckpointNote, type TrustedKey } from '../tlog/index.js';
import {
  BAGIT,
  bodiesFile,
  BUNDLE_FORMAT,
  entriesFile,
  MANIFEST,
  MAX_BODY_LINE,
  MAX_SMALL_FILE,
  ROOT_COSIGNED,
  TAG_MANIFEST,
  termsFile,
  TIMESTAMP_ABOUT,
  TIMESTAMP_NOTE,
  TIMESTAMP_TOKEN,
  VERIFIER,
  type ConsistencyWith,
  type ExportDescription,
  type ExportedTree,
  type ExportFilter,
} from './bundle-format.js';
import { BundleNotes } from './bundle-notes.js';
import { TreeCheck, type TreeReport } from './check-tree.js';
import { checkCoverage, NamedTrees, type Acceptance, type CoverageReport } from './check-coverage.js';
import { checkTimestamp, checkWitnesses, type TimestampReport, type WitnessReport } from './check-root-evidence.js';
import { compareManifest } from './compare-manifest.js';
import { comparePrevious } from './compare-previous.js';
import { readLines } from './entry-lines.js';
import { Findings, type Finding, type Place } from './findings.js';
import { Malformed, readDescription, readRootConsistency, readRootCosigned, readTimestampAbout, readTreeProof } from './read-json.js';
import { SealedFields, type SealedReport } from './sealed-fields.js';
import { MalformedTar, readTar, type TarMember } from './tar.js';

export type { CosignatureReport, TimestampReport, WitnessReport } from './check-root-evidence.js';
export type { Acceptance, CoverageReport } from './check-coverage.js';
export type { SealedReport } from './sealed-fields.js';
export type { TreeReport } from './check-tree.js';

export interface VerifyOptions {
  /**
   * The key to trust, `<name>+<id>+<key>`, or a whole trust policy with replaced keys and their limits; without it the bundle's own is used,
   * which proves only that the bundle agrees with itself.
   */
  readonly vkey?: string;
  /** The policy (C2SP tlog-policy) that whoever verifies trusts: which witnesses, and how many of them. Without `vkey` its logs' keys count too. */
  readonly policy?: string;
  /** Signed notes that were kept from earlier: the bundle must continue them. */
  readonly previousNotes?: readonly string[];
  /** Derives the terms of trees that are shown whole anew, which takes half as long again: a signer may have lied about them. */
  readonly deriveTerms?: boolean;
  /** What it may hold less than everything: default nothing, where it says what was ordered; older ones cannot be held to that. */
  readonly accept?: Acceptance;
  /** Told of every leaf that is shown, verified or not: the report comes last. */
  readonly reader?: LeafReader;
}

export interface LeafReader {
  leaf(tree: string, bytes: Buffer): void;
  /** After a few hundred leaves at most; its promise is the back-pressure. */
  flush(): Promise<void>;
}

export interface BundleReport {
  readonly ok: boolean;
  /** See `EXIT_CODES`. */
  readonly exitCode: number;
  /** The cause first; at most 50 and the first of every kind. */
  readonly findings: readonly Finding[];
  readonly findingsTotal: number;
  readonly exportId: string | null;
  readonly logId: string | null;
  readonly vkey: string | null;
  readonly keyTrusted: 'given' | 'from-the-bundle';
  /** What it was narrowed down to; null: all leaves of the ranges. */
  readonly filter: ExportFilter | null;
  /** Null: it broke off before that could be seen. */
  readonly coverage: CoverageReport | null;
  /** Null: it carries none. */
  readonly timestamp: TimestampReport | null;
  readonly witnesses: WitnessReport;
  /** Of the records that go along; null: none do. */
  readonly sealed: SealedReport | null;
  readonly trees: readonly TreeReport[];
  readonly bytes: number;
  /** SHA-256 (hex) of its manifest, by which the access log names it whatever archive it is packed in; null: it has none. */
  readonly manifestSha256: string | null;
  /** SHA-256 (hex) of the verifier that it carries; null: none. Only one that came another way is to be trusted. */
  readonly verifier: string | null;
  /** What this bundle cannot show by itself, in words. */
  readonly notShown: readonly string[];
}

/** A file's path, or its bytes as they arrive. */
export type BundleSource = string | AsyncIterable<Uint8Array>;

/**
 * Verifies a bundle on its own bytes, without Fabula, database or network: one streaming pass, memory O(log n). Never throws for what the
 * bundle holds; rejects only when it cannot be read, and with MalformedKey, MalformedTrust, MalformedPolicy or MalformedNote for unusable options.
 */
export async function verifyBundle(source: BundleSource, options: VerifyOptions = {}): Promise<BundleReport> {
  const policy = options.policy === undefined ? undefined : parsePolicy(options.policy);
  const trusted = options.vkey === undefined ? keysOf(policy) : parseTrust(options.vkey);
  const verification = new Verification(trusted, policy, options);
  const input = typeof source === 'string' ? createReadStream(source, { highWaterMark: 1 << 18 }) : source;
  await verification.run(input);
  return verification.report();
}

/** Undefined: the policy names no log. @throws MalformedPolicy */
function keysOf(policy: Policy | undefined): readonly TrustedKey[] | undefined {
  if (policy === undefined || policy.logs.length === 0) return undefined;
  if (new Set(policy.logs.map(({ verifier }) => verifier.name)).size > 1)
    throw new MalformedPolicy('the policy names logs of several names: give the key of the one that is meant');
  return policy.logs.map(({ verifier }) => ({ verifier }));
}

class Verification {
  private readonly findings = new Findings();
  private readonly reports: TreeReport[] = [];
  private readonly hashes = new Map<string, string>();
  private readonly previous: readonly string[];
  private bytes = 0;
  private description: ExportDescription | undefined;
  private notes: BundleNotes | undefined;
  private timestamp: TimestampReport | undefined;
  private witnesses: WitnessReport = { quorum: 'unchecked', size: null, cosignatures: [] };
  private readonly sealed = new SealedFields();
  private rootSize = '';
  private readonly named = new NamedTrees();
  private coverage: CoverageReport | undefined;

  constructor(
    private readonly trusted: readonly TrustedKey[] | undefined,
    private readonly policy: Policy | undefined,
    private readonly options: VerifyOptions,
  ) {
    this.previous = options.previousNotes ?? [];
  }

  async run(input: AsyncIterable<Uint8Array>): Promise<void> {
    const members = new Members(readTar(this.counted(input)), () => this.bytes);
    try {
      await this.members(members);
    } catch (error) {
      const file = members.current;
      if (error instanceof MalformedTar)
        this.findings.add(error.truncated ? 'TRUNCATION' : 'MALFORMED', error.message, { file, byte: error.byte });
      else if (error instanceof Malformed) this.findings.add('MALFORMED', error.message, { file, byte: this.bytes });
      else throw error;
    }
  }

  private async members(members: Members): Promise<void> {
    if ((await this.small(await members.take('bagit.txt'))).toString() !== BAGIT) throw new Malformed('bagit.txt is not that of a bundle');
    const verifier = await members.takeIf(VERIFIER);
    if (verifier !== undefined) await this.small(verifier);
    const description = readDescription(await this.small(await members.take('data/export.json')));
    this.description = description;
    const notes = this.openKeys(description);
    const second = description.format === BUNDLE_FORMAT;
    if (second) this.readPolicy(description, await this.small(await members.take('data/trust.policy')));
    const where = { file: 'data/root-checkpoint', tree: 'root' };
    const root = await this.small(await members.take(where.file));
    const rootNote = notes.open(root, 'root', where);
    this.rootSize = String(rootNote?.size ?? '');
    if (second) this.continueRoot(notes, rootNote, readRootConsistency(await this.small(await members.take('data/root-consistency.json'))));
    await this.evidence(members, notes, root, rootNote);
    for (const tree of description.trees) await this.tree(members, notes, rootNote, tree);
    this.uncompared(notes, description);
    const { findings, reports: trees, rootSize, named } = this;
    this.coverage = checkCoverage({ findings, description, trees, rootSize, named, accept: this.options.accept });
    await this.manifests(members, notes, second, rootNote?.size ?? 0n);
    await members.end();
  }

  /** Notes that were kept of another log, which may stand in place of the one that they are of, or of a tree that is not here. */
  private uncompared(notes: BundleNotes, { logId, trees }: ExportDescription): void {
    const here = new Set(['root', ...trees.map(({ tree }) => tree)].map((tree) => notes.origin(tree)));
    for (const text of this.previous) {
      const kept = notes.quietly(text);
      if (kept === undefined || here.has(kept.origin)) continue;
      const message = `your note is of ${kept.origin}, which is not in this bundle of log ${logId}: nothing says what became of it`;
      this.findings.add('PREVIOUS_UNPROVED', message, {});
    }
  }

  /** What others say of the root tree: witnesses, and an authority about the time. */
  private async evidence(members: Members, notes: BundleNotes, root: Buffer, rootNote: CheckpointNote | undefined): Promise<void> {
    const common = { findings: this.findings, notes, rootNote };
    const cosigned = await members.takeIf(ROOT_COSIGNED);
    const carried = cosigned === undefined ? null : readRootCosigned(await this.small(cosigned));
    this.witnesses = checkWitnesses(common, { root, carried }, this.policy);
    const stamped = await members.takeIf(TIMESTAMP_ABOUT);
    if (stamped === undefined) return;
    const about = readTimestampAbout(await this.small(stamped));
    const note = await this.small(await members.take(TIMESTAMP_NOTE));
    const token = await this.small(await members.take(TIMESTAMP_TOKEN));
    this.timestamp = checkTimestamp(common, { about, note, token });
  }

  /** `tagged`: files outside data/ have a manifest too. */
  private async manifests(members: Members, notes: BundleNotes, tagged: boolean, rootSize: bigint): Promise<void> {
    const text = await this.small(await members.take(MANIFEST));
    compareManifest(this.findings, text.toString('utf8'), this.hashesOf(true));
    const tags = tagged ? await this.small(await members.take(TAG_MANIFEST)) : undefined;
    if (tags !== undefined) {
      const named = this.hashesOf(false);
      named.delete(TAG_MANIFEST);
      compareManifest(this.findings, tags.toString('utf8'), named);
    }
    notes.compareManifestNote(await this.small(await members.take('MANIFEST.note')), text, tags, rootSize);
  }
  private hashesOf(payload: boolean): Map<string, string> {
    return new Map([...this.hashes].filter(([file]) => file.startsWith('data/') === payload));
  }

  /** One tree's leaves, as many files as there are. */
  private async tree(members: Members, notes: BundleNotes, rootNote: CheckpointNote | undefined, tree: ExportedTree): Promise<void> {
    const { findings, previous } = this;
    const { deriveTerms = false, reader } = this.options;
    const where = { file: `data/${tree.tree}/checkpoint`, tree: tree.tree };
    const text = await this.small(await members.take(where.file));
    if (tree.origin !== notes.origin(tree.tree)) findings.add('SIGNATURE', `${tree.origin} is not the origin of ${tree.tree}`, where);
    const note = notes.open(text, tree.tree, where);
    const proof = readTreeProof(await this.small(await members.take(`data/${tree.tree}/proof.json`)));
    const description = this.description as ExportDescription;
    const check = new TreeCheck({
      findings,
      notes,
      description,
      tree,
      note,
      rootNote,
      proof,
      previous,
      sealed: this.sealed,
      deriveTerms,
      reader,
    });
    const told = (line: Buffer, at: Place): void => {
      check.line(line, at);
      if (tree.tree === 'root') this.named.leaf(line);
    };
    let place: Place = { file: members.current, tree: tree.tree };
    for (let n = 0; ; n++) {
      const summaries = check.filteredByTerm ? await members.takeIf(termsFile(tree.tree, n)) : undefined;
      if (summaries !== undefined) check.summaries(await this.small(summaries));
      const entries = await members.takeIf(entriesFile(tree.tree, n));
      if (entries === undefined) break;
      const { last, sha256 } = await readLines(entries, tree.tree, told, {
        afterChunk: () => reader?.flush() ?? Promise.resolve(),
      });
      this.hashes.set(entries.name, sha256);
      place = last;
      const { bodies } = check;
      if (bodies === undefined) continue;
      const file = await members.take(bodiesFile(tree.tree, n));
      const read = await readLines(file, tree.tree, (line, at) => bodies.line(line, at), { longest: MAX_BODY_LINE });
      this.hashes.set(file.name, read.sha256);
      bodies.end(read.last);
    }
    this.reports.push(check.end(place));
    if (members.over) throw new MalformedTar(`the archive ends after the leaves of ${tree.tree}`, this.bytes, true);
  }

  report(): BundleReport {
    const { description, findings } = this;
    return {
      ok: findings.total === 0,
      exitCode: findings.exitCode,
      findings: findings.list,
      findingsTotal: findings.total,
      exportId: description?.id ?? null,
      logId: description?.logId ?? null,
      vkey: this.notes?.keys[0]?.verifier.vkey ?? null,
      keyTrusted: this.trusted === undefined ? 'from-the-bundle' : 'given',
      filter: description?.filter ?? null,
      coverage: this.coverage ?? null,
      timestamp: this.timestamp ?? null,
      witnesses: this.witnesses,
      sealed: description?.bodies === true ? this.sealed.report() : null,
      trees: this.reports,
      bytes: this.bytes,
      manifestSha256: this.hashes.get(MANIFEST) ?? null,
      verifier: this.hashes.get(VERIFIER) ?? null,
      notShown: this.notShown(),
    };
  }

  private notShown(): readonly string[] {
    const { description, timestamp, witnesses, rootSize, coverage } = this;
    const notShown = ['that every record reached the log: compare the counts with the producers'];
    if (this.trusted === undefined) notShown.push('whose key this is: give the key that you were handed by another way');
    for (const missing of coverage?.missing ?? []) notShown.push(`what is not in this bundle: ${missing}`);
    if (coverage?.kind === 'unknown' || (coverage?.kind === 'part' && coverage.asked === null))
      notShown.push(`which trees the log has: ${this.reports.map(({ tree }) => tree).join(', ')} are here; compare with how many it has`);
    if (description?.filter?.kind === 'time') notShown.push('that the log’s own times never ran backwards outside what is shown');
    if (witnesses.quorum === 'unchecked' && witnesses.cosignatures.length > 0)
      notShown.push('whether the cosignatures are of witnesses that you trust: give your own policy');
    if (witnesses.quorum === 'reached' && witnesses.size !== rootSize)
      notShown.push(`that witnesses saw what the root tree got after size ${witnesses.size}: it had no quorum yet`);
    if (witnesses.quorum !== 'reached' && this.previous.length === 0)
      notShown.push('that no other history was shown to others: give the note that you kept from earlier');
    const { fields, erased } = this.sealed.report();
    if (fields > erased)
      notShown.push(
        `whether the keys of ${fields - erased} sealed fields still exist: erasures that are not told of in this bundle leave no trace in it`,
      );
    if (timestamp?.signature === 'not-checked')
      notShown.push(
        'that the timestamp is signed at all: its certificate is not in it, or its algorithm is not known here; OpenSSL can say',
      );
    if (timestamp !== undefined) notShown.push(`that the timestamp is of an authority that you trust: ${OPENSSL}`);
    return notShown;
  }

  private async *counted(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of input) {
      this.bytes += chunk.length;
      yield chunk;
    }
  }

  private async small(member: TarMember): Promise<Buffer> {
    if (member.size > MAX_SMALL_FILE) throw new Malformed(`${member.name} has ${member.size} bytes, more than ${MAX_SMALL_FILE}`);
    const parts: Buffer[] = [];
    for await (const part of member.content) parts.push(part);
    const content = Buffer.concat(parts);
    this.hashes.set(member.name, createHash('sha256').update(content).digest('hex'));
    return content;
  }

  private openKeys(description: ExportDescription): BundleNotes {
    let keys = this.trusted ?? [];
    try {
      if (this.trusted === undefined) keys = parseTrust(description.trust ?? description.vkey);
    } catch {
      // Said below, with the place.
      this.findings.add('SIGNATURE', 'the keys in export.json are not verifier keys', { file: 'data/export.json' });
    }
    return (this.notes = new BundleNotes(this.findings, keys, description.logId));
  }

  /** Nothing is decided by the policy of a bundle: it is for whoever sets up a monitor or another verifier. */
  private readPolicy(description: ExportDescription, bytes: Buffer): void {
    const lines = bytes.toString('utf8').split('\n');
    if (!lines.some((line) => line.startsWith(`log ${description.vkey}`)))
      throw new Malformed('trust.policy does not name the key of export.json');
  }

  private continueRoot(notes: BundleNotes, rootNote: CheckpointNote | undefined, carried: ConsistencyWith | null): void {
    const exported = this.description?.trees.some(({ tree }) => tree === 'root') === true;
    if (rootNote === undefined) return;
    const where = { file: 'data/root-consistency.json', tree: 'root' };
    // With its leaves at hand more notes can be compared.
    const given = exported ? [] : this.previous.filter((text) => notes.quietly(text)?.origin === notes.origin('root'));
    comparePrevious({ findings: this.findings, notes, tree: 'root', note: rootNote, carried, given, roots: new Map(), where });
  }
}

const OPENSSL = `openssl ts -verify -in ${TIMESTAMP_TOKEN} -data ${TIMESTAMP_NOTE} -CAfile <its certificates>`;

/** A bundle's members in the order in which they must stand; one is read ahead, since the number of entries files is not announced. */
class Members {
  /** What is being read, or was expected. */
  current = 'bagit.txt';
  private ahead: TarMember | undefined;
  private ended = false;

  constructor(
    private readonly members: AsyncGenerator<TarMember>,
    private readonly at: () => number,
  ) {}

  /** Whether nothing follows any more; known only after `takeIf` answered none. */
  get over(): boolean {
    return this.ended;
  }
  async take(name: string): Promise<TarMember> {
    this.current = name;
    const next = await this.next();
    if (next === undefined) throw new MalformedTar(`the archive ends before ${name}`, this.at(), true);
    if (next.name !== name) throw new Malformed(`${name} is missing: ${JSON.stringify(next.name.slice(0, 100))} stands in its place`);
    this.ahead = undefined;
    return next;
  }
  async takeIf(name: string): Promise<TarMember | undefined> {
    const next = await this.next();
    if (next?.name !== name) return undefined;
    this.current = name;
    this.ahead = undefined;
    return next;
  }
  async end(): Promise<void> {
    this.current = 'end of the archive';
    const next = await this.next();
    if (next !== undefined) throw new Malformed(`${JSON.stringify(next.name.slice(0, 100))} does not belong in a bundle`);
  }

  private async next(): Promise<TarMember | undefined> {
    if (this.ahead !== undefined) return this.ahead;
    const result = await this.members.next();
    this.ended = result.done === true;
    return (this.ahead = result.done === true ? undefined : result.value);
  }
}
