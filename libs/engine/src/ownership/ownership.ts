/** What this node does when it gains or loses a partition. Both may be called in any order and again and again. */
export interface OwnershipEvents {
  acquired(partition: number): void;
  /** The partition is given to others once this has ended: let go of it in order. */
  released(partition: number): void | Promise<void>;
}

/**
 * Who writes which partition. Only for speed: two owners at once cost conflicts, never correctness, because `admit` alone says
 * what a record counts for.
 */
export interface Ownership {
  /** Joins under this address (what other nodes send forwarded commands to) and tells from then on what this node owns. */
  start(address: string, on: OwnershipEvents): Promise<void>;
  /** `self`, the address of another node, or undefined while nobody is known to own it. */
  ownerOf(partition: number): 'self' | string | undefined;
  /** Why nobody may be known to own anything: whoever shares the partitions out cannot be reached. Undefined when all is well. */
  outage?(): string | undefined;
  /**
   * Before `stop`, while this node can still be asked: lets others take its partitions over while it goes on writing them; ends when they
   * have, or there are no others, or it takes too long. Not every ownership can.
   */
  handOver?(): Promise<void>;
  /** Gives all partitions up; ends when others can take them. */
  stop(): Promise<void>;
}
