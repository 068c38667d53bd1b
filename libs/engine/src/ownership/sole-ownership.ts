import type { Ownership, OwnershipEvents } from './ownership.js';

/** One process owns everything. */
export class SoleOwnership implements Ownership {
  private events: OwnershipEvents | undefined;

  constructor(private readonly partitions: number) {}

  async start(_address: string, on: OwnershipEvents): Promise<void> {
    this.events = on;
    for (let partition = 0; partition < this.partitions; partition++) on.acquired(partition);
  }

  ownerOf(partition: number): 'self' | undefined {
    return this.events !== undefined && partition < this.partitions ? 'self' : undefined;
  }

  async stop(): Promise<void> {
    const { events } = this;
    this.events = undefined;
    await Promise.all(Array.from({ length: this.partitions }, (_, partition) => events?.released(partition)));
  }
}
