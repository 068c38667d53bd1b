/*
 * The small part of POSIX ustar that a bundle needs: plain files, each smaller than 8 GiB. Every byte is either checked by the header's
 * checksum, content, or padding that must be zero, so that no byte of a bundle can be changed unseen.
 */
const BLOCK = 512;
export const TAR_END = Buffer.alloc(2 * BLOCK);

/** Header and content with padding. Same name, size and bytes give the same output on every machine. */
export function tarMember(name: string, content: Buffer): Buffer {
  return Buffer.concat(tarParts(name, content));
}
/** The same without a copy of the content. */
export function tarParts(name: string, content: Buffer): readonly Buffer[] {
  return [tarHeader(name, content.length), content, Buffer.alloc(padding(content.length))];
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function tarHeader(name: string, size: number): Buffer {
  if (Buffer.byteLength(name) > 100 || size >= 8 ** 11) throw new RangeError(`${name} of ${size} bytes does not fit a ustar header`);
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 'utf8');
  header.write('0000644\0', 100, 'latin1');
  header.write('0000000\0', 108, 'latin1');
  header.write('0000000\0', 116, 'latin1');
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  header.write('00000000000\0', 136, 'latin1');
  header.write('        ', 148, 'latin1');
  header.write('0', 156, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

export class MalformedTar extends Error {
  override readonly name = 'MalformedTar';
  constructor(
    message: string,
    /** Where in the archive. */
    readonly byte: number,
    /** The archive ends where more must follow. */
    readonly truncated = false,
  ) {
    super(message);
  }
}

export interface TarMember {
  readonly name: string;
  readonly size: number;
  /** Where its content begins in the archive. */
  readonly start: number;
  /** Must be read to its end before the next member. */
  readonly content: AsyncIterable<Buffer>;
}

/** Members as they arrive; memory is one chunk. @throws MalformedTar for anything that `tarMember` and `TAR_END` would not write. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const input = new Input(source);
  for (;;) {
    const at = input.position;
    const header = await input.exactly(BLOCK);
    if (header.every((byte) => byte === 0)) {
      if ((await input.exactly(BLOCK)).some((byte) => byte !== 0)) throw new MalformedTar('the archive does not end in zero blocks', at);
      if (!(await input.ended())) throw new MalformedTar('something follows the end of the archive', input.position);
      return;
    }
    const end = header.indexOf(0);
    const name = header.subarray(0, Math.min(end < 0 ? 100 : end, 100)).toString('utf8');
    const size = Number.parseInt(header.toString('latin1', 124, 135), 8);
    // Bytes that are no text become longer ones.
    const fits = Number.isSafeInteger(size) && Buffer.byteLength(name) <= 100;
    if (!fits || !tarHeader(name, size).equals(header)) throw new MalformedTar('not a member header', at);
    let left = size;
    yield {
      name,
      size,
      start: input.position,
      content: {
        async *[Symbol.asyncIterator]() {
          while (left > 0) {
            const chunk = await input.upTo(left);
            left -= chunk.length;
            yield chunk;
          }
        },
      },
    };
    while (left > 0) left -= (await input.upTo(left)).length;
    const fill = await input.exactly(padding(size));
    if (fill.some((byte) => byte !== 0)) throw new MalformedTar(`the padding after ${name} is not zero`, input.position - fill.length);
  }
}

class Input {
  position = 0;
  private readonly iterator: AsyncIterator<Uint8Array>;
  private buffer: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.iterator = source[Symbol.asyncIterator]();
  }

  async upTo(most: number): Promise<Buffer> {
    if (this.buffer.length === 0 && !(await this.fill())) throw new MalformedTar('the archive ends early', this.position, true);
    return this.take(Math.min(most, this.buffer.length));
  }
  async exactly(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = count; left > 0;) {
      const part = await this.upTo(left);
      parts.push(part);
      left -= part.length;
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }
  async ended(): Promise<boolean> {
    return this.buffer.length === 0 && !(await this.fill());
  }

  private take(count: number): Buffer {
    const taken = this.buffer.subarray(0, count);
    this.buffer = this.buffer.subarray(count);
    this.position += count;
    return taken;
  }
  private async fill(): Promise<boolean> {
    for (;;) {
      const next = await this.iterator.next();
      if (next.done === true) return false;
      if (next.value.length === 0) continue;
      this.buffer = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.length);
      return true;
    }
  }
}
