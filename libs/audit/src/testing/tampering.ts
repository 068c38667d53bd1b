import { createHash } from 'node:crypto';
import { TAR_END, tarMember, readTar } from '../bundle/tar.js';
import { MANIFEST, manifestStatement, TAG_MANIFEST } from '../bundle/bundle-format.js';
import { signNote, type NoteSigner } from '../tlog/index.js';
import { streamed } from './audited.js';

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

export interface BundleFile {
  readonly name: string;
  content: Buffer;
}

export async function unpack(bundle: Buffer): Promise<BundleFile[]> {
  const files: BundleFile[] = [];
  for await (const member of readTar(streamed(bundle))) {
    const parts: Buffer[] = [];
    for await (const part of member.content) parts.push(part);
    files.push({ name: member.name, content: Buffer.concat(parts) });
  }
  return files;
}

export function pack(files: readonly BundleFile[]): Buffer {
  return Buffer.concat([...files.map(({ name, content }) => tarMember(name, content)), TAR_END]);
}

/** A tamperer who makes the manifest fit again; with the key, also its signature. */
export function withManifest(files: readonly BundleFile[], signer?: NoteSigner): BundleFile[] {
  const listed = (some: readonly BundleFile[]): string => some.map(({ name, content }) => `${sha256(content)}  ${name}\n`).join('');
  const text = Buffer.from(listed(files.filter(({ name }) => name.startsWith('data/'))));
  const tagged = files.some(({ name }) => name === TAG_MANIFEST);
  const tags = Buffer.from(
    listed(
      files
        .filter(({ name }) => !name.startsWith('data/') && name !== TAG_MANIFEST && name !== 'MANIFEST.note')
        .map((file) => (file.name === MANIFEST ? { ...file, content: text } : file)),
    ),
  );
  return files.map((file) => {
    if (file.name === MANIFEST) return { ...file, content: text };
    if (file.name === TAG_MANIFEST) return { ...file, content: tags };
    if (file.name !== 'MANIFEST.note' || signer === undefined) return file;
    const statement = manifestStatement(signer.name, sha256(text), tagged ? sha256(tags) : undefined);
    return { ...file, content: Buffer.from(signNote(statement, signer)) };
  });
}

/** Changes one tree's leaves, as lines. */
export function withLeaves(files: readonly BundleFile[], tree: string, change: (lines: string[]) => string[]): BundleFile[] {
  return files.map((file) => {
    if (!file.name.startsWith(`data/${tree}/entries-`)) return file;
    const lines = change(file.content.toString().split('\n').slice(0, -1));
    return { ...file, content: Buffer.from(lines.map((line) => `${line}\n`).join('')) };
  });
}

export function withFile(files: readonly BundleFile[], name: string, change: (content: string) => string): BundleFile[] {
  return files.map((file) => (file.name === name ? { ...file, content: Buffer.from(change(file.content.toString())) } : file));
}
