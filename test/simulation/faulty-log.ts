import { LogUnavailable, OutcomeUnknown, type Batch, type EventLog, type LogRecord, type Offset, type ReadOptions } from '#lib/log';
import type { Random } from './random.js';
import type { Process, Scheduler } from './scheduler.js';

/** What can happen to one append; 0 after the last fault. */
export interface LogFaults {
  /** Refused before a byte left. */
  readonly unavailable: number;
  /** Never stored, and nobody says so. */
  readonly lost: number;
  /** Stored, but the answer is lost. */
  readonly unanswered: number;
  /** The answer is "unknown", and the bytes arrive long after. */
  readonly late: number;
  /** Stored and answered, and stored once more later. */
  readonly doubled: number;
  readonly readFails: number;
}

export const NO_LOG_FAULTS: LogFaults = { unavailable: 0, lost: 0, unanswered: 0, late: 0, doubled: 0, readFails: 0 };

/** The log as one process sees it over a bad network. The log itself is the shared memory log and never fails. */
export class FaultyLog implements EventLog {
  readonly partitions: number;
  /** Appends that this process waits for now. */
  inFlight = 0;

  constructor(
    private readonly log: EventLog,
    private readonly scheduler: Scheduler,
    private readonly process: Process,
    private readonly random: Random,
    private readonly faults: () => LogFaults,
    private readonly count: (fault: string) => void,
  ) {
    this.partitions = log.partitions;
  }

  async append(partition: number, records: readonly LogRecord[]): Promise<Offset> {
    this.inFlight++;
    try {
      return await this.appendOverNetwork(partition, records);
    } finally {
      this.inFlight--;
    }
  }

  private async appendOverNetwork(partition: number, records: readonly LogRecord[]): Promise<Offset> {
    const { readFails: _, ...faults } = this.faults();
    const fault = this.random.weighted({ ...faults, none: 1 - Object.values(faults).reduce((sum, p) => sum + p, 0) });
    if (fault !== 'none') this.count(`append ${fault}`);
    if (fault === 'unavailable') {
      await this.process.wait(this.random.int(0, 2));
      throw new LogUnavailable('simulated');
    }
    const outward = this.random.int(0, 6);
    const stored = fault === 'lost' ? undefined : this.store(partition, records, fault === 'late' ? this.random.int(50, 900) : outward);
    if (fault === 'doubled') void this.store(partition, records, this.random.int(10, 600));
    if (fault === 'none' || fault === 'doubled') {
      const base = await (stored as Promise<Offset>);
      await this.process.wait(this.random.int(0, 6));
      return base;
    }
    await this.process.wait(this.random.int(8, 60));
    throw new OutcomeUnknown('simulated');
  }

  async *read(partition: number, from: Offset, options: ReadOptions = {}): AsyncGenerator<Batch> {
    await this.process.wait(this.random.int(0, 4));
    this.mayFail();
    for await (const batch of this.log.read(partition, from, options)) {
      yield batch;
      if (this.random.chance(0.3)) await this.process.wait(this.random.int(0, 3));
    }
  }

  async end(partition: number): Promise<Offset> {
    await this.process.wait(this.random.int(0, 3));
    this.mayFail();
    return this.log.end(partition);
  }

  async begin(partition: number): Promise<Offset> {
    await this.process.wait(this.random.int(0, 3));
    this.mayFail();
    return this.log.begin(partition);
  }

  async forget(partition: number, before: Offset): Promise<void> {
    await this.process.wait(this.random.int(0, 6));
    this.mayFail();
    await this.log.forget(partition, before);
    await this.process.wait(this.random.int(0, 6));
  }

  id(): Promise<string> {
    return this.log.id();
  }

  async close(): Promise<void> {}

  private mayFail(): void {
    if (!this.random.chance(this.faults().readFails)) return;
    this.count('read failed');
    throw new LogUnavailable('simulated');
  }

  /** The bytes are on the wire: they arrive whatever becomes of the process. */
  private store(partition: number, records: readonly LogRecord[], ms: number): Promise<Offset> {
    return new Promise((resolve) => this.scheduler.after(ms, () => resolve(this.log.append(partition, records))));
  }
}
