import { createHash } from 'node:crypto';
import { ENTRIES_BYTES, ROOT_COSIGNED } from './bundle-format.js';
import { PartDiffers, type WrittenMember } from './part-file.js';
import { tarParts } from './tar.js';

export const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
/** Cosignatures may have come meanwhile: those it was begun with are as good. */
const MAY_DIFFER: readonly string[] = ['data/root-checkpoint', ROOT_COSIGNED];

/** Where a bundle's files go, in order; passes over those that an interrupted export wrote already. */
export class MemberSink {
  private readonly lines: { payload: string; tags: string } = { payload: '', tags: '' };
  private writing = false;

  constructor(
    private readonly out: (bytes: Buffer) => Promise<void>,
    private readonly written: ReadonlyMap<string, WrittenMember> = new Map(),
    readonly entriesBytes = ENTRIES_BYTES,
  ) {}

  /** @throws PartDiffers when another file of that name was written */
  async write(name: string, content: Buffer): Promise<void> {
    const digest = sha256(content);
    const known = this.written.get(name);
    if (known === undefined) {
      this.writing = true;
      this.list(name, digest);
      for (const part of tarParts(name, content)) await this.out(part);
      return;
    }
    if (this.writing || (known.sha256 !== digest && !MAY_DIFFER.includes(name))) throw new PartDiffers(`${name} is another one now`);
    this.list(name, known.sha256);
  }

  /** Whether all of these lie there already, so that nothing of them need be read: the lines of `counted`. */
  passed(names: readonly string[], counted: string): number | undefined {
    const known = names.map((name) => this.written.get(name));
    if (known.includes(undefined)) return undefined;
    if (this.writing) throw new PartDiffers(`${names.join(', ')} stand in another place`);
    names.forEach((name, i) => this.list(name, known[i]?.sha256 ?? ''));
    return this.written.get(counted)?.lines;
  }

  /** SHA-256 of every file so far, under data/ or beside it. */
  manifest(of: 'payload' | 'tags'): Buffer {
    return Buffer.from(this.lines[of]);
  }
  private list(name: string, digest: string): void {
    this.lines[name.startsWith('data/') ? 'payload' : 'tags'] += `${digest}  ${name}\n`;
  }
}
