import type { Ownership } from '#lib/engine';
import type { ProcessRole } from '#lib/platform';

/** A share of the partitions, and what follows them. */
export interface Follow {
  readonly role: ProcessRole;
  readonly ownership: Ownership;
  readonly service: { follow(partition: number): void; leave(partition: number): Promise<void> };
}
