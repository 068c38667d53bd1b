import { Worker } from 'node:worker_threads';
import { FabulaError } from '#lib/platform';
import type { Problem } from '#lib/story';
import type { ImportResult, StoryFormat } from '#lib/story-formats';

export interface ImportOrder {
  readonly id: number;
  readonly source: string;
  readonly format: StoryFormat;
  readonly storyId: string | undefined;
}
export interface ImportAnswer {
  readonly id: number;
  readonly result: ImportResult;
  /** Problems of import and lint together, each once, with line and column. */
  readonly lint: readonly Problem[];
}

/** Imports that may wait; more are turned away. */
const MAX_WAITING = 16;
/** A 3,000-passage story takes about a second. */
const TIME_LIMIT_MS = 30_000;
const HEAP_LIMIT_MB = 1_024;

interface Waiting {
  readonly order: ImportOrder;
  readonly resolve: (answer: ImportAnswer) => void;
  readonly reject: (error: FabulaError) => void;
}

/** One import at a time, in a worker of its own that is bounded in time and memory and thrown away when it passes a bound. */
export class StoryImporter {
  private readonly queue: Waiting[] = [];
  private worker: Worker | undefined;
  private current: (Waiting & { readonly timer: NodeJS.Timeout }) | undefined;
  private orders = 0;

  /** @throws FabulaError OVERLOADED, TOO_LARGE */
  read(source: string, format: StoryFormat, storyId: string | undefined): Promise<ImportAnswer> {
    if (this.queue.length >= MAX_WAITING) throw new FabulaError('OVERLOADED', 'too many imports wait; try again in a moment');
    return new Promise((resolve, reject) => {
      this.queue.push({ order: { id: ++this.orders, source, format, storyId }, resolve, reject });
      this.next();
    });
  }

  async close(): Promise<void> {
    this.drop(new FabulaError('OVERLOADED', 'the server stops'));
    for (const { reject } of this.queue.splice(0)) reject(new FabulaError('OVERLOADED', 'the server stops'));
    await this.worker?.terminate();
  }

  private next(): void {
    if (this.current !== undefined) return;
    const waiting = this.queue.shift();
    if (waiting === undefined) return;
    const worker = (this.worker ??= this.launch());
    worker.ref();
    const timer = setTimeout(
      () => this.drop(new FabulaError('TOO_LARGE', `reading the story took more than ${TIME_LIMIT_MS / 1_000} s`)),
      TIME_LIMIT_MS,
    );
    this.current = { ...waiting, timer };
    worker.postMessage(waiting.order);
  }

  private launch(): Worker {
    const worker = new Worker(new URL('import.worker.js', import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB } });
    worker.on('message', (answer: ImportAnswer) => {
      const { current } = this;
      if (current?.order.id !== answer.id) return;
      this.ended();
      current.resolve(answer);
      this.next();
    });
    worker.on('error', (error) => {
      const tooLarge = (error as { code?: string }).code === 'ERR_WORKER_OUT_OF_MEMORY';
      this.drop(
        tooLarge
          ? new FabulaError('TOO_LARGE', 'reading the story took too much memory')
          : new FabulaError('INTERNAL', undefined, { cause: error }),
      );
    });
    return worker;
  }

  /** The worker is of no more use: whoever it worked for is told why, and the next import gets a new one. */
  private drop(why: FabulaError): void {
    const { worker, current } = this;
    this.worker = undefined;
    this.ended();
    current?.reject(why);
    void worker?.terminate();
    this.next();
  }

  private ended(): void {
    clearTimeout(this.current?.timer);
    this.current = undefined;
    this.worker?.unref();
  }
}
