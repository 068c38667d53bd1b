import { canonicalJson, sha256Hex } from '#lib/canonical';

/** Id of what a command creates: a repeated command means the same thing. `a-…` actions, `h-…` holds, `g-…` broken glasses. */
export function derivedId(letter: 'a' | 'h' | 'g', actorId: string, commandId: string): string {
  return `${letter}-${sha256Hex(`fabula-compliance-1\0${canonicalJson([letter, actorId.toWellFormed(), commandId.toWellFormed()])}`).slice(0, 16)}`;
}
