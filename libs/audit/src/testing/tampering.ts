import { createHash } from 'node:crypto';
import { TAR_END, tarMember, readTar } from '../bundle/tar.js';
import { manifestStatement } from '../bundle/bundle-format.js';
import { signNote, type NoteSigner } from '../tlog/index.js';
import { streamed } from './audited.js';

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
  const text = files
    .filter(({ name }) => name.startsWith('data/'))
    .map(({ name, content }) => `${createHash('sha256').update(content).digest('hex')}  ${name}\n`)
    .join('');
  return files.map((file) => {
    if (file.name === 'manifest-sha256.txt') return { ...file, content: Buffer.from(text) };
    if (file.name !== 'MANIFEST.note' || signer === undefined) return file;
    return {
      ...file,
      content: Buffer.from(signNote(manifestStatement(signer.name, createHash('sha256').update(text).digest('hex')), signer)),
    };
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
