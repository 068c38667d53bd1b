/** Bytes that a JSON-like value takes on the heap, roughly: for caps, not for accounts. Stops early on deep values. */
export function roughSize(value: unknown, depth = 0): number {
  if (typeof value === 'string') return 24 + value.length;
  if (typeof value !== 'object' || value === null || depth > 32) return 8;
  let bytes = 32;
  if (Array.isArray(value)) {
    for (const item of value) bytes += 8 + roughSize(item, depth + 1);
    return bytes;
  }
  for (const key in value) bytes += 24 + key.length + roughSize((value as Record<string, unknown>)[key], depth + 1);
  return bytes;
}
