import { randomBytes } from 'node:crypto';
import { KEK_BYTES, KekMissing, newKekId, unwrapUnder, wrapUnder, type KeyEncryption } from './key-encryption.js';

/** For tests. */
export class MemoryKeyEncryption implements KeyEncryption {
  readonly place = 'memory';
  private readonly keys = new Map<string, Buffer>();

  async ids(): Promise<readonly string[]> {
    return [...this.keys.keys()].sort();
  }
  async create(id = newKekId()): Promise<string> {
    if (!this.keys.has(id)) this.keys.set(id, randomBytes(KEK_BYTES));
    return id;
  }
  async wrap(id: string, key: Buffer, context: string): Promise<Buffer> {
    return wrapUnder(this.kek(id), id, key, context);
  }
  async unwrap(id: string, wrapped: Buffer, context: string): Promise<Buffer> {
    return unwrapUnder(this.kek(id), id, wrapped, context);
  }
  async destroy(id: string): Promise<boolean> {
    return this.keys.delete(id);
  }

  private kek(id: string): Buffer {
    const kek = this.keys.get(id);
    if (kek === undefined) throw new KekMissing(id, this.place);
    return kek;
  }
}
