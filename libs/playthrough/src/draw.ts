import { createHash } from 'node:crypto';
import type { Variable, Value } from '#lib/story';

/*
 * Random results. A draw's key is (the playthrough's seed, the effect's id, the playthrough's draw counter): the counter never goes back,
 * so no draw is ever repeated, and inserting text elsewhere in the story changes no outcome. The vector in draw.spec.ts holds for ever:
 * another algorithm needs a new `semantics` number in the events.
 */

const CHUNKS = 4;
/** A chunk is refused with a probability under 2⁻¹⁰, so this many digests are never needed; the bound only makes the loop total. */
const MAX_DIGESTS = 64;

/**
 * Uniform integer within [min, max] from SHA-256(`fabula-draw-1` ␀ seed ␀ id ␀ n ␀ k), k = 0, 1, …, read as big-endian 64-bit numbers, the
 * first below the largest multiple of the range's size. Wants safe integers with min ≤ max.
 */
export function drawInt(seed: string, id: string, n: number, min: number, max: number): number {
  const size = BigInt(max) - BigInt(min) + 1n;
  const limit = (1n << 64n) - ((1n << 64n) % size);
  let chunk = 0n;
  for (let k = 0; k < MAX_DIGESTS; k++) {
    const digest = createHash('sha256').update(`fabula-draw-1\0${seed}\0${id}\0${n}\0${k}`).digest();
    for (let i = 0; i < CHUNKS; i++) {
      chunk = digest.readBigUInt64BE(i * 8);
      if (chunk < limit) return Number(BigInt(min) + (chunk % size));
    }
  }
  return Number(BigInt(min) + (chunk % size));
}

/**
 * Result of a draw for a variable: an int within the given range cut to its bounds, or one of a bool's or an enum's values.
 * Undefined when there is nothing to draw from: an empty range or list, or a set.
 */
export function drawValue(
  variable: Variable,
  key: { readonly seed: string; readonly id: string; readonly n: number },
  range: { readonly min?: number; readonly max?: number },
): Value | undefined {
  switch (variable.type) {
    case 'int': {
      const min = Math.max(variable.min, range.min ?? variable.min);
      const max = Math.min(variable.max, range.max ?? variable.max);
      return min <= max ? drawInt(key.seed, key.id, key.n, min, max) : undefined;
    }
    case 'bool':
      return drawInt(key.seed, key.id, key.n, 0, 1) === 1;
    case 'enum':
      return variable.values.length === 0 ? undefined : variable.values[drawInt(key.seed, key.id, key.n, 0, variable.values.length - 1)];
    case 'set':
      return undefined;
  }
}
