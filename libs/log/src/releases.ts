import type { Decoded } from '#lib/decision';
import type { Offset } from './event-log.js';

/**
 * Records that an operator released although no running build knows their envelope version: every reader (engine, projector, auditor,
 * verifier, publisher) takes them for `invalid`, for ever. Primary data, and the same for all: see docs/decisions.
 */
export interface Releases {
  /** @param digest SHA-256 of the record's bytes: a release is for that record, not for whatever stands at its place. */
  has(partition: number, offset: Offset, digest: string): Promise<boolean>;
}

export const NO_RELEASES: Releases = { has: async () => false };

/**
 * Whether `Releases` must be asked before the record is admitted. Never for records of the first envelope version, so nothing hot pays. A
 * build that knows a later version must ask as well: a build that did not know it may have released the record, and all went on without it.
 */
export function mayBeReleased(decoded: Decoded): decoded is Exclude<Decoded, { kind: 'undecodable' }> {
  return decoded.kind === 'unknown-envelope' || (decoded.kind === 'record' && decoded.record.v > 1);
}
