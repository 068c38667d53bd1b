import { createHash } from 'node:crypto';
import { openNote, openTrustedNote, vouches, type CheckpointNote, type TrustedKey } from '../tlog/index.js';
import { MANIFEST, manifestStatement, TAG_MANIFEST } from './bundle-format.js';
import type { Findings, Place } from './findings.js';

/** Opens the notes of a bundle with the trusted keys. Other signatures on them, of witnesses for example, are passed over. */
export class BundleNotes {
  constructor(
    private readonly findings: Findings,
    readonly keys: readonly TrustedKey[],
    private readonly logId: string,
  ) {}

  get name(): string {
    return this.keys[0]?.verifier.name ?? '';
  }
  origin(tree: string): string {
    return `${this.name}/${this.logId}/${tree}`;
  }

  /** The note of that tree; undefined, with a finding, when it is none. */
  open(bytes: Buffer | string, tree: string, where: Place): CheckpointNote | undefined {
    const origin = this.origin(tree);
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

  quietly(text: string): CheckpointNote | undefined {
    try {
      return openTrustedNote(text, this.keys);
    } catch {
      // The caller says what an unreadable note means there.
      return undefined;
    }
  }

  /** `rootSize`: the size that the root tree's note was signed at; a replaced key vouches no further. */
  compareManifestNote(bytes: Buffer, manifest: Buffer, tags: Buffer | undefined, rootSize: bigint): void {
    try {
      const keys = this.keys.filter((key) => vouches(key, 'root', rootSize));
      const note = openNote(
        bytes,
        keys.map(({ verifier }) => verifier),
      );
      const sha256 = (file: Buffer): string => createHash('sha256').update(file).digest('hex');
      const wanted = manifestStatement(this.name, sha256(manifest), tags === undefined ? undefined : sha256(tags));
      const [, first, second] = note.text.split('\n');
      const [, wantedFirst, wantedSecond] = wanted.split('\n');
      if (first !== wantedFirst) this.findings.add('MANIFEST', 'the manifest is not the one that was signed', { file: MANIFEST });
      if (second !== wantedSecond)
        this.findings.add('MANIFEST', 'the manifest of tag files is not the one that was signed', { file: TAG_MANIFEST });
      if (note.text !== wanted && !this.findings.has('MANIFEST'))
        this.findings.add('MANIFEST', 'MANIFEST.note does not speak of this log', { file: 'MANIFEST.note' });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.findings.add('SIGNATURE', `the manifest is not signed by the trusted key: ${reason}`, { file: 'MANIFEST.note' });
    }
  }
}
