import { canonicalJson, sha256Hex } from '#lib/canonical';

/** Stream of a playthrough. */
export const playthroughStream = (id: string): string => `playthrough/${id}`;

/**
 * Id of the playthrough that a start or fork command makes: a UUID (version 8, RFC 9562 §5.8) from actor and command id, so that a retry
 * meets the same stream, on whichever node.
 */
export function derivedPlaythroughId(actorId: string, commandId: string): string {
  const hex = sha256Hex(`fabula-playthrough-1\0${canonicalJson([actorId.toWellFormed(), commandId.toWellFormed()])}`);
  const variant = ((Number.parseInt(hex[16] as string, 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Seed of a what-if: differs from its source's, so that draws there say nothing about draws here. */
export function forkedSeed(seed: string, playthroughId: string): string {
  return sha256Hex(`fabula-fork-1\0${seed}\0${playthroughId}`).slice(0, 32);
}
