import { Unstorable } from './sql-errors.js';
import type { ColumnType } from './tables.js';

/*
 * Columns as Postgres' binary arrays (src/backend/utils/adt/arrayfuncs.c, array_recv): int32 dimensions, has-nulls flag, element type;
 * int32 length and lower bound; then each value as int32 length (-1: null) and bytes. Texts of a kilobyte full of quotes cost several
 * times more as array literals, on both sides.
 */

const OIDS: { readonly [type in ColumnType]: number } = { bool: 16, bytea: 17, int8: 20, int4: 23, text: 25 };
const HEADER_BYTES = 20;

/**
 * @throws Unstorable when a value is not of the column's type, or a text holds U+0000, which Postgres cannot store.
 */
export function binaryArray(type: ColumnType, values: readonly unknown[]): Buffer {
  let bytes = HEADER_BYTES + values.length * 4;
  for (const value of values) bytes += sizeOf(type, value);
  const buffer = Buffer.allocUnsafe(bytes);
  buffer.writeInt32BE(values.length === 0 ? 0 : 1, 0);
  buffer.writeInt32BE(1, 4);
  buffer.writeInt32BE(OIDS[type], 8);
  if (values.length === 0) return buffer.subarray(0, 12);
  buffer.writeInt32BE(values.length, 12);
  buffer.writeInt32BE(1, 16);
  let at = HEADER_BYTES;
  for (const value of values) at = write(type, value, buffer, at);
  return buffer;
}

function sizeOf(type: ColumnType, value: unknown): number {
  if (value === null) return 0;
  switch (type) {
    case 'text':
      if (typeof value !== 'string') throw mistyped(type, value);
      if (value.includes('\0') || !value.isWellFormed())
        throw new Unstorable('a text holds U+0000 or a lone surrogate, which Postgres cannot store');
      return Buffer.byteLength(value);
    case 'bytea':
      if (!(value instanceof Uint8Array)) throw mistyped(type, value);
      return value.length;
    case 'bool':
      if (typeof value !== 'boolean') throw mistyped(type, value);
      return 1;
    case 'int4':
    case 'int8':
      if (!Number.isSafeInteger(value)) throw mistyped(type, value);
      return type === 'int4' ? 4 : 8;
  }
}

function write(type: ColumnType, value: unknown, buffer: Buffer, at: number): number {
  const start = at + 4;
  if (value === null) {
    buffer.writeInt32BE(-1, at);
    return start;
  }
  let length: number;
  switch (type) {
    case 'text':
      length = buffer.write(value as string, start, 'utf8');
      break;
    case 'bytea':
      buffer.set(value as Uint8Array, start);
      length = (value as Uint8Array).length;
      break;
    case 'bool':
      length = 1;
      buffer[start] = value === true ? 1 : 0;
      break;
    case 'int4':
      length = 4;
      buffer.writeInt32BE(value as number, start);
      break;
    case 'int8':
      length = 8;
      // Two halves: bigint arithmetic would make an object per value.
      buffer.writeInt32BE(Math.floor((value as number) / 2 ** 32), start);
      buffer.writeUInt32BE((((value as number) % 2 ** 32) + 2 ** 32) % 2 ** 32, start + 4);
      break;
  }
  buffer.writeInt32BE(length, at);
  return start + length;
}

function mistyped(type: ColumnType, value: unknown): Unstorable {
  return new Unstorable(`${typeof value} ${JSON.stringify(value)?.slice(0, 60)} in a column of ${type}`);
}
