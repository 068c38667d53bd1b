import {
  LogRefused,
  LogUnavailable,
  OutcomeUnknown,
  type Batch,
  type EventLog,
  type LogRecord,
  type Offset,
  type ReadOptions,
} from '#lib/log';
import { settled } from './hand-time.js';

export type Fate = 'stored' | 'lost' | 'unanswered' | 'unavailable' | 'refused';

interface Waiting {
  readonly partition: number;
  readonly records: readonly LogRecord[];
  readonly resolve: (base: Offset) => void;
  readonly reject: (error: Error) => void;
}

/** A log whose appends wait until a test decides their fate. Counts what crosses it. */
export class GatedLog implements EventLog {
  readonly partitions: number;
  readonly appends: (readonly LogRecord[])[] = [];
  readonly reads: { readonly from: Offset; readonly upTo: Offset | undefined }[] = [];
  /** Appends pass by themselves. */
  open = false;
  private waiting: Waiting[] = [];

  constructor(readonly log: EventLog) {
    this.partitions = log.partitions;
  }

  append(partition: number, records: readonly LogRecord[]): Promise<Offset> {
    this.appends.push(records);
    if (this.open) return this.log.append(partition, records);
    return new Promise((resolve, reject) => this.waiting.push({ partition, records, resolve, reject }));
  }

  /** Decides the oldest append that waits. */
  async decide(fate: Fate): Promise<void> {
    await settled();
    const append = this.waiting.shift();
    if (append === undefined) throw new Error('no append waits');
    const stored = fate === 'stored' || fate === 'unanswered' ? await this.log.append(append.partition, append.records) : 0;
    if (fate === 'stored') append.resolve(stored);
    else if (fate === 'unavailable') append.reject(new LogUnavailable('down'));
    else if (fate === 'refused') append.reject(new LogRefused('no'));
    else append.reject(new OutcomeUnknown('who knows'));
    await settled();
  }

  get held(): number {
    return this.waiting.length;
  }

  read(partition: number, from: Offset, options: ReadOptions = {}): AsyncIterable<Batch> {
    this.reads.push({ from, upTo: options.upTo });
    return this.log.read(partition, from, options);
  }

  end(partition: number): Promise<Offset> {
    return this.log.end(partition);
  }
  begin(partition: number): Promise<Offset> {
    return this.log.begin(partition);
  }
  forget(partition: number, before: Offset): Promise<void> {
    return this.log.forget(partition, before);
  }
  id(): Promise<string> {
    return this.log.id();
  }
  close(): Promise<void> {
    return this.log.close();
  }
}
