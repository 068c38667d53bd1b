const POLYNOMIAL = 0x82f63b78;

/** `TABLES[n * 256 + byte]`: what a byte does to the sum n bytes later. */
const TABLES = new Int32Array(8 * 256);
for (let byte = 0; byte < 256; byte++) {
  let sum = byte;
  for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 0 ? sum >>> 1 : (sum >>> 1) ^ POLYNOMIAL;
  TABLES[byte] = sum;
}
for (let at = 256; at < TABLES.length; at++) {
  const before = TABLES[at - 256] as number;
  TABLES[at] = (before >>> 8) ^ (TABLES[before & 0xff] as number);
}

/** CRC-32C (Castagnoli), which Kafka checks each batch by. Eight bytes at a time: it sees every byte that is appended. */
export function crc32c(bytes: Uint8Array): number {
  const t = (table: number, byte: number): number => TABLES[table * 256 + byte] as number;
  const b = (at: number): number => bytes[at] as number;
  let sum = -1;
  let at = 0;
  for (const last = bytes.length - 8; at <= last; at += 8) {
    sum ^= b(at) | (b(at + 1) << 8) | (b(at + 2) << 16) | (b(at + 3) << 24);
    const low = t(7, sum & 0xff) ^ t(6, (sum >>> 8) & 0xff) ^ t(5, (sum >>> 16) & 0xff) ^ t(4, sum >>> 24);
    sum = low ^ t(3, b(at + 4)) ^ t(2, b(at + 5)) ^ t(1, b(at + 6)) ^ t(0, b(at + 7));
  }
  for (; at < bytes.length; at++) sum = t(0, (sum ^ b(at)) & 0xff) ^ (sum >>> 8);
  return ~sum >>> 0;
}
