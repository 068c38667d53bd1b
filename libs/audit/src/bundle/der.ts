/** Not DER (X.690), or more of it than a timestamp needs: tags below 31, definite lengths. */
export class MalformedDer extends Error {
  override readonly name = 'MalformedDer';
}

export interface Der {
  readonly tag: number;
  readonly content: Buffer;
  /** Tag and length too. */
  readonly whole: Buffer;
}

/** The one value that these bytes are. @throws MalformedDer */
export function readDer(bytes: Buffer): Der {
  const value = valueAt(bytes, 0);
  if (value.whole.length !== bytes.length) throw new MalformedDer('bytes follow the value');
  return value;
}

/** What a constructed value holds, in order. @throws MalformedDer */
export function members({ content }: Der): readonly Der[] {
  const found: Der[] = [];
  for (let at = 0; at < content.length;) {
    const value = valueAt(content, at);
    found.push(value);
    at += value.whole.length;
  }
  return found;
}

function valueAt(bytes: Buffer, at: number): Der {
  const [tag, first] = [bytes[at], bytes[at + 1]];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f || first === 0x80) throw new MalformedDer(`no DER value at ${at}`);
  const more = first < 0x80 ? 0 : first & 0x7f;
  if (more > 4 || at + 2 + more > bytes.length) throw new MalformedDer(`no length at ${at}`);
  const length = more === 0 ? first : bytes.readUIntBE(at + 2, more);
  const start = at + 2 + more;
  if (length > bytes.length - start) throw new MalformedDer(`the value at ${at} is cut off`);
  return { tag, content: bytes.subarray(start, start + length), whole: bytes.subarray(at, start + length) };
}

/** Dotted. @throws MalformedDer for another value */
export function oidOf({ tag, content }: Der): string {
  if (tag !== 0x06 || content.length === 0 || content.length > 40) throw new MalformedDer('no object identifier');
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (arcs.length === 0) {
      const top = Math.min(2, Math.floor(arc / 40));
      arcs.push(top, arc - 40 * top);
    } else arcs.push(arc);
    arc = 0;
  }
  return arcs.join('.');
}
