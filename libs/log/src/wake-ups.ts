/** Lets readers at the tail sleep until their partition has grown. A reader takes `version` before it looks, so that no wake-up is lost between looking and sleeping. */
export class WakeUps {
  private readonly versions: number[];
  private readonly sleepers: Set<() => void>[];

  constructor(partitions: number) {
    this.versions = Array.from({ length: partitions }, () => 0);
    this.sleepers = Array.from({ length: partitions }, () => new Set());
  }

  version(partition: number): number {
    return this.versions[partition] ?? 0;
  }

  wake(partition: number): void {
    const sleepers = this.sleepers[partition];
    if (sleepers === undefined) return;
    this.versions[partition] = this.version(partition) + 1;
    const woken = [...sleepers];
    sleepers.clear();
    for (const wake of woken) wake();
  }

  wakeAll(): void {
    for (let partition = 0; partition < this.versions.length; partition++) this.wake(partition);
  }

  /** Until the version differs from `seen`, the signal aborts, or (if given) `atMostMs` have gone. */
  sleep(partition: number, seen: number, signal?: AbortSignal, atMostMs?: number): Promise<void> {
    const sleepers = this.sleepers[partition];
    if (sleepers === undefined || this.version(partition) !== seen || signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        sleepers.delete(wake);
        signal?.removeEventListener('abort', wake);
        if (timer !== undefined) clearTimeout(timer);
        resolve();
      };
      const timer = atMostMs === undefined ? undefined : setTimeout(wake, atMostMs);
      sleepers.add(wake);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }
}
