import { isUtf8 } from 'node:buffer';
import type { EventLog } from '#lib/log';
import type { StoredLeaf } from '../audit-store.js';

/** Where the records lie that leaves are about. */
export interface RecordBodies {
  /** Their exact bytes by offset; those that are kept no more are left out. `offsets` rise. */
  of(partition: number, offsets: readonly number[]): Promise<ReadonlyMap<number, Uint8Array>>;
}

/** Offsets further apart are not read in one go. */
const FAR = 100;
const NEWLINE = 10;
const BRACE = 0x7b;
/** Leaves whose bodies are held at once. */
const AT_ONCE = 64;

export function bodiesOf(log: EventLog): RecordBodies {
  return {
    async of(partition, offsets) {
      const wanted = new Set(offsets);
      const found = new Map<number, Uint8Array>();
      const begin = await log.begin(partition);
      for (const { from, upTo } of runs(offsets.filter((offset) => offset >= begin)))
        for await (const { records } of log.read(partition, from, { upTo }))
          for (const { offset, value } of records) if (wanted.has(offset)) found.set(offset, value);
      return found;
    },
  };
}

function runs(offsets: readonly number[]): { from: number; upTo: number }[] {
  const found: { from: number; upTo: number }[] = [];
  for (const offset of offsets) {
    const last = found.at(-1);
    if (last !== undefined && offset - last.upTo < FAR) last.upTo = offset + 1;
    else found.push({ from: offset, upTo: offset + 1 });
  }
  return found;
}

/** Each leaf's line in a file of bodies, in order. */
export async function* bodyLines(bodies: RecordBodies, partition: number, leaves: readonly StoredLeaf[]): AsyncGenerator<Buffer> {
  for (let at = 0; at < leaves.length; at += AT_ONCE) {
    const some = leaves.slice(at, at + AT_ONCE);
    const found = await bodies.of(
      partition,
      some.map(({ offset }) => offset),
    );
    for (const { offset } of some) yield bodyLine(found.get(offset));
  }
}

/** A record that is one line of JSON as it is, any other as base64 in quotes; one that is kept no more: null. */
export function bodyLine(body: Uint8Array | undefined): Buffer {
  if (body === undefined) return Buffer.from('null');
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return bytes[0] === BRACE && !bytes.includes(NEWLINE) && isUtf8(bytes) ? bytes : Buffer.from(`"${bytes.toString('base64')}"`);
}
