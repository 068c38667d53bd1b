import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  checkConsistency,
  checkInclusion,
  cover,
  Frontier,
  leafHash,
  leafIndex,
  openNote,
  openTrustedNote,
  parseTrust,
  vouches,
  type CheckpointNote,
  type Hash,
  type TrustedKey,
} from '../tlog/index.js';
import {
  BAGIT,
  entriesFile,
  manifestStatement,
  MAX_LINE,
  MAX_SMALL_FILE,
  type ExportDescription,
  type ExportedTree,
  type TreeProof,
} from './bundle-format.js';
import { Findings, type Finding, type Place } from './findings.js';
import { LeafSequence } from './leaf-sequence.js';
import { Malformed, readDescription, readHash, readRootLeaf, readTreeProof } from './read-json.js';
import { MalformedTar, readTar, type TarMember } from './tar.js';

export interface VerifyOptions {
  /**
   * The key to trust, `<name>+<id>+<key>`, or a whole trust policy with replaced keys and their limits; without it the bundle's own is used,
   * which proves only that the bundle agrees with itself.
   */
  readonly vkey?: string;
  /** Signed notes that were kept from earlier: the bundle must continue them. */
  readonly previousNotes?: readonly string[];
}

export interface TreeReport {
  readonly tree: string;
  readonly origin: string;
  readonly from: string;
  readonly to: string;
  /** Leaves in the signed tree, and its root (hex). */
  readonly size: string;
  readonly root: string;
  readonly leaves: number;
  readonly verdicts: Readonly<Record<string, number>>;
  /** ms since the epoch, log time. */
  readonly firstTime: number | null;
  readonly lastTime: number | null;
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
  readonly trees: readonly TreeReport[];
  readonly bytes: number;
  /** What this bundle cannot show by itself, in words. */
  readonly notShown: readonly string[];
}

/** A file's path, or its bytes as they arrive. */
export type BundleSource = string | AsyncIterable<Uint8Array>;

/**
 * Verifies a bundle on its own bytes, without Fabula, database or network: one streaming pass, memory O(log n). Never throws for what the
 * bundle holds; rejects only when it cannot be read, and with MalformedKey, MalformedTrust or MalformedNote for unusable options.
 */
export async function verifyBundle(source: BundleSource, options: VerifyOptions = {}): Promise<BundleReport> {
  const trusted = options.vkey === undefined ? undefined : parseTrust(options.vkey);
  const verification = new Verification(trusted, options.previousNotes ?? []);
  const input = typeof source === 'string' ? createReadStream(source, { highWaterMark: 1 << 18 }) : source;
  await verification.run(input);
  return verification.report();
}

class Verification {
  private readonly findings = new Findings();
  private readonly reports: TreeReport[] = [];
  private readonly hashes = new Map<string, string>();
  private bytes = 0;
  private description: ExportDescription | undefined;
  private keys: readonly TrustedKey[] = [];
  private rootNote: CheckpointNote | undefined;

  constructor(
    private readonly trusted: readonly TrustedKey[] | undefined,
    private readonly previous: readonly string[],
  ) {}

  async run(input: AsyncIterable<Uint8Array>): Promise<void> {
    const members = readTar(this.counted(input));
    let current = 'bagit.txt';
    const take = async (name: string): Promise<TarMember> => {
      current = name;
      const next = await members.next();
      if (next.done === true) throw new MalformedTar(`the archive ends before ${name}`, this.bytes, true);
      if (next.value.name !== name)
        throw new Malformed(`${name} is missing: ${JSON.stringify(next.value.name.slice(0, 100))} stands in its place`);
      return next.value;
    };
    try {
      if ((await this.small(await take('bagit.txt'))).toString() !== BAGIT) throw new Malformed('bagit.txt is not that of a bundle');
      this.describe(await this.small(await take('data/export.json')));
      this.openRoot(await this.small(await take('data/root-checkpoint')));
      // One member is read ahead, since the number of entries files is not announced.
      let ahead: TarMember | undefined;
      for (const tree of this.description?.trees ?? []) {
        const folder = `data/${tree.tree}`;
        const first = ahead ?? (await take(`${folder}/checkpoint`));
        if (first.name !== `${folder}/checkpoint`)
          throw new Malformed(`${folder}/checkpoint is missing: ${JSON.stringify(first.name)} stands in its place`);
        const note = this.openTreeNote(tree, await this.small(first));
        const proof = readTreeProof(await this.small(await take(`${folder}/proof.json`)));
        ahead = await this.entries(tree, note, proof, members, (name) => (current = name));
      }
      const manifest = ahead ?? (await take('manifest-sha256.txt'));
      if (manifest.name !== 'manifest-sha256.txt')
        throw new Malformed(`manifest-sha256.txt is missing: ${JSON.stringify(manifest.name)} stands in its place`);
      current = 'manifest-sha256.txt';
      const text = await this.small(manifest);
      this.compareManifest(text.toString('utf8'));
      this.openManifestNote(await this.small(await take('MANIFEST.note')), text);
      current = 'end of the archive';
      const more = await members.next();
      if (more.done !== true) throw new Malformed(`${JSON.stringify(more.value.name.slice(0, 100))} does not belong in a bundle`);
    } catch (error) {
      if (error instanceof MalformedTar)
        this.findings.add(error.truncated ? 'TRUNCATION' : 'MALFORMED', error.message, { file: current, byte: error.byte });
      else if (error instanceof Malformed) this.findings.add('MALFORMED', error.message, { file: current, byte: this.bytes });
      else throw error;
    }
  }

  report(): BundleReport {
    const { description, findings } = this;
    const notShown = ['that every record reached the log: compare the counts with the producers'];
    if (this.trusted === undefined) notShown.push('whose key this is: give the key that you were handed by another way');
    if (this.previous.length === 0) notShown.push('that no other history was shown to others: give the note that you kept from earlier');
    return {
      ok: findings.total === 0,
      exitCode: findings.exitCode,
      findings: findings.list,
      findingsTotal: findings.total,
      exportId: description?.id ?? null,
      logId: description?.logId ?? null,
      vkey: this.keys[0]?.verifier.vkey ?? null,
      keyTrusted: this.trusted === undefined ? 'from-the-bundle' : 'given',
      trees: this.reports,
      bytes: this.bytes,
      notShown,
    };
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

  private describe(bytes: Buffer): void {
    this.description = readDescription(bytes);
    try {
      this.keys = this.trusted ?? parseTrust(this.description.trust ?? this.description.vkey);
    } catch {
      // Said below, with the place.
      this.findings.add('SIGNATURE', 'the keys in export.json are not verifier keys', { file: 'data/export.json' });
    }
  }

  private openRoot(bytes: Buffer): void {
    this.rootNote = this.note(bytes, { file: 'data/root-checkpoint', tree: 'root' }, this.origin('root'));
  }

  private openTreeNote(tree: ExportedTree, bytes: Buffer): CheckpointNote | undefined {
    const where = { file: `data/${tree.tree}/checkpoint`, tree: tree.tree };
    if (tree.origin !== this.origin(tree.tree)) this.findings.add('SIGNATURE', `${tree.origin} is not the origin of ${tree.tree}`, where);
    return this.note(bytes, where, this.origin(tree.tree));
  }

  private origin(tree: string): string {
    return `${this.keys[0]?.verifier.name ?? ''}/${this.description?.logId ?? ''}/${tree}`;
  }

  private note(bytes: Buffer | string, where: Place, origin: string): CheckpointNote | undefined {
    try {
      const note = openTrustedNote(bytes, this.keys);
      if (note.origin === origin) return note;
      this.findings.add('SIGNATURE', `this note is of ${note.origin}, not of ${origin}`, where);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.findings.add('SIGNATURE', `the checkpoint note is not signed by the trusted key: ${reason}`, where);
    }
    return undefined;
  }

  /** One tree's leaves, as many files as there are; answers the first member after them. */
  private async entries(
    tree: ExportedTree,
    note: CheckpointNote | undefined,
    proof: TreeProof,
    members: AsyncGenerator<TarMember>,
    at: (file: string) => void,
  ): Promise<TarMember | undefined> {
    const [from, to] = [BigInt(tree.from), BigInt(tree.to)];
    const left = proof.left.map(readHash);
    const where = { file: `data/${tree.tree}/proof.json`, tree: tree.tree };
    const fits = left.length === cover(0n, from).length;
    if (!fits) this.findings.add('ROOT', `the proof of ${tree.tree} has ${left.length} hashes before leaf ${from}`, where);
    const frontier = fits ? new Frontier(from, left) : undefined;
    const before = from === 0n ? null : (from & 1n) === 1n ? left.at(-1) : undefined;
    const sequence = new LeafSequence(this.findings, tree.tree, this.description?.logId ?? '', from, before);
    const kept = this.keptNotes(tree, frontier);
    let files = 0;
    let place: Place = where;
    let next: TarMember | undefined;
    for (;;) {
      at(entriesFile(tree.tree, files));
      const result = await members.next();
      next = result.done === true ? undefined : result.value;
      if (next === undefined || next.name !== entriesFile(tree.tree, files)) break;
      files++;
      place = await this.lines(next, tree.tree, (line, found) => {
        frontier?.append(sequence.next(line, found));
        kept.passed();
      });
    }
    const last = tree.lastLeaf === null ? undefined : readHash(tree.lastLeaf);
    const complete = sequence.end(to, last, place);
    if (note !== undefined) {
      if (complete && frontier !== undefined) this.compareRoot(tree, note, frontier, proof, where);
      this.compareInRoot(tree, note, proof, where);
      this.comparePrevious(tree, note, proof, where, kept.roots);
    }
    this.reports.push({
      tree: tree.tree,
      origin: tree.origin,
      from: tree.from,
      to: tree.to,
      size: note === undefined ? '' : String(note.size),
      root: note?.root.toString('hex') ?? '',
      leaves: sequence.leaves,
      verdicts: sequence.verdicts,
      firstTime: sequence.firstTime ?? null,
      lastTime: sequence.lastTime ?? null,
    });
    if (next === undefined) throw new MalformedTar(`the archive ends after the leaves of ${tree.tree}`, this.bytes, true);
    return next;
  }

  private async lines(member: TarMember, tree: string, leaf: (line: Buffer, at: Place) => void): Promise<Place> {
    const digest = createHash('sha256');
    let carried: Buffer = Buffer.alloc(0);
    let byte = member.start;
    let line = 0;
    let at: Place = { file: member.name, tree };
    for await (const chunk of member.content) {
      digest.update(chunk);
      const bytes = carried.length === 0 ? chunk : Buffer.concat([carried, chunk]);
      let start = 0;
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
        at = { file: member.name, line: ++line, byte, tree };
        leaf(bytes.subarray(start, end), at);
        byte += end + 1 - start;
        start = end + 1;
      }
      carried = Buffer.from(bytes.subarray(start));
      if (carried.length > MAX_LINE) throw new Malformed(`line ${line + 1} is longer than ${MAX_LINE} bytes`);
    }
    this.hashes.set(member.name, digest.digest('hex'));
    // A last line without its end was changed; as a leaf it still takes its place.
    if (carried.length > 0) leaf(carried, (at = { file: member.name, line: line + 1, byte, tree }));
    return at;
  }

  private compareRoot(tree: ExportedTree, note: CheckpointNote, frontier: Frontier, proof: TreeProof, where: Place): void {
    const right = cover(frontier.size, note.size);
    const wrong = (): void =>
      this.findings.add(
        'ROOT',
        `the leaves ${tree.from}…${tree.to} of ${tree.tree} do not give the root that was signed at size ${note.size}`,
        { ...where, index: tree.from },
      );
    if (frontier.size > note.size || right.length !== proof.right.length) return wrong();
    right.forEach((node, i) => frontier.appendSubtree(node.level, readHash(proof.right[i] as string)));
    if (!frontier.root().equals(note.root)) wrong();
  }

  private compareInRoot(tree: ExportedTree, note: CheckpointNote, { inRoot }: TreeProof, where: Place): void {
    if (this.rootNote === undefined) return;
    if (tree.tree === 'root') {
      if (note.size !== this.rootNote.size || !note.root.equals(this.rootNote.root))
        this.findings.add('FORK', 'two notes of the root tree differ', where);
      return;
    }
    if (inRoot === null) {
      this.findings.add('ROOT', `the note of ${tree.tree} is not shown to be in the root tree`, where);
      return;
    }
    const leaf = Buffer.from(inRoot.leaf, 'utf8');
    const said = readRootLeaf(leaf);
    const [index, hashes] = [BigInt(inRoot.index), inRoot.hashes.map(readHash)];
    const proved = checkInclusion(hashes, this.rootNote.size, this.rootNote.root, leafIndex(index), leafHash(leaf));
    const opened = said === undefined ? undefined : this.quietly(said.note);
    const same = said?.tree === tree.tree && opened !== undefined && opened.size === note.size && opened.root.equals(note.root);
    if (!proved || !same) this.findings.add('ROOT', `the note of ${tree.tree} is not the one in the root tree`, where);
  }

  /** The caller's kept notes of that tree, and the roots that the exported leaves give at their sizes. */
  private keptNotes(tree: ExportedTree, frontier: Frontier | undefined) {
    const notes = this.previous
      .map((text) => ({ text, note: this.quietly(text) }))
      .filter(({ note }) => note?.origin === this.origin(tree.tree));
    const roots = new Map<bigint, Hash>();
    const passed = (): void => {
      if (frontier === undefined) return;
      for (const { note } of notes) if (note?.size === frontier.size) roots.set(note.size, frontier.root());
    };
    passed();
    return { roots, passed };
  }

  private comparePrevious(
    tree: ExportedTree,
    note: CheckpointNote,
    proof: TreeProof,
    where: Place,
    roots: ReadonlyMap<bigint, Hash>,
  ): void {
    const clean = !this.findings.has('ROOT', 'LEAF', 'GAP', 'REORDER', 'TRUNCATION');
    const carried = proof.previous;
    if (carried !== null) {
      const earlier = this.note(carried.note, where, this.origin(tree.tree));
      if (earlier !== undefined && !extendsNote(note, earlier, carried.hashes.map(readHash))) this.fork(tree, note, earlier, where);
    }
    for (const text of this.previous) {
      const kept = this.quietly(text);
      if (kept === undefined) {
        this.findings.add('SIGNATURE', 'a note that was given to compare is not signed by the trusted key', {});
        continue;
      }
      if (kept.origin !== this.origin(tree.tree)) continue;
      if (kept.size > note.size) {
        this.findings.add(
          'TRUNCATION',
          `${tree.tree} was signed at size ${kept.size} before; this bundle knows only ${note.size}: it was rolled back`,
          where,
        );
        continue;
      }
      const derived = kept.size === note.size ? note.root : clean ? roots.get(kept.size) : undefined;
      const same = carried !== null && this.quietly(carried.note)?.size === kept.size ? this.quietly(carried.note) : undefined;
      if (derived !== undefined) {
        if (!derived.equals(kept.root)) this.fork(tree, note, kept, where);
      } else if (same !== undefined) {
        if (!same.root.equals(kept.root)) this.fork(tree, note, kept, where);
      } else if (clean && kept.size > 0n) {
        const message = `this bundle cannot show that ${tree.tree} continues your note of size ${kept.size}: ask for an export with \`since\` ${kept.size}`;
        this.findings.add('PREVIOUS_UNPROVED', message, where);
      }
    }
  }

  private fork(tree: ExportedTree, note: CheckpointNote, other: CheckpointNote, where: Place): void {
    const says = (one: CheckpointNote): string => `size ${one.size} root ${one.root.toString('base64')}`;
    this.findings.add('FORK', `two signed histories of ${tree.tree}: ${says(other)} and ${says(note)} do not continue each other`, where);
  }

  private quietly(text: string): CheckpointNote | undefined {
    try {
      return openTrustedNote(text, this.keys);
    } catch {
      // The caller says what an unreadable note means there.
      return undefined;
    }
  }

  private compareManifest(text: string): void {
    const named = new Map<string, string>();
    for (const [i, line] of text.split('\n').slice(0, -1).entries()) {
      const match = /^([0-9a-f]{64}) {2}(data\/[\x21-\x7e]{1,95})$/.exec(line);
      if (match === null || named.has(match[2] as string)) throw new Malformed(`line ${i + 1} is not "<sha256>  <file>"`);
      named.set(match[2] as string, match[1] as string);
    }
    for (const [file, hash] of this.hashes) {
      if (!file.startsWith('data/')) continue;
      if (named.get(file) !== hash) this.findings.add('MANIFEST', `${file} is not the file that the manifest names`, { file });
      named.delete(file);
    }
    for (const file of named.keys()) this.findings.add('MANIFEST', `${file} is in the manifest but not in the bundle`, { file });
  }

  private openManifestNote(bytes: Buffer, manifest: Buffer): void {
    const where = { file: 'MANIFEST.note' };
    try {
      const size = this.rootNote?.size ?? 0n;
      const keys = this.keys.filter((key) => vouches(key, 'root', size));
      const verifiers = keys.map(({ verifier }) => verifier);
      const note = openNote(bytes, verifiers);
      const sha256 = createHash('sha256').update(manifest).digest('hex');
      if (note.text !== manifestStatement(this.keys[0]?.verifier.name ?? '', sha256)) {
        this.findings.add('MANIFEST', 'the manifest is not the one that was signed', { file: 'manifest-sha256.txt' });
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.findings.add('SIGNATURE', `the manifest is not signed by the trusted key: ${reason}`, where);
    }
  }
}

function extendsNote(note: CheckpointNote, earlier: CheckpointNote, hashes: readonly Hash[]): boolean {
  if (earlier.size === 0n) return hashes.length === 0;
  return checkConsistency(hashes, note.size, note.root, earlier.size, earlier.root);
}
