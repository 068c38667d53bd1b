import { createInterface, type Interface } from 'node:readline/promises';

/** Where a command speaks and listens. Specs give their own; nothing else writes to the process's streams. */
export interface Terminal {
  /** The command's answer. */
  out(text: string): void;
  /** Exact bytes of a long answer; waits while the reader is slow. */
  pour(bytes: Uint8Array): Promise<void>;
  /** What is said beside the answer: progress, errors, hints. */
  err(text: string): void;
  readonly columns: number;
  /** Whether the answer may be coloured: people are looking and NO_COLOR is not set. */
  readonly coloured: boolean;
  /** Where progress bars may be drawn; absent when nobody is looking. */
  readonly bars: NodeJS.WritableStream | undefined;
  /** A line from the keyboard. `late`: the signal came first; `end`: there is no more input. */
  ask(question: string, late?: AbortSignal): Promise<Asked>;
  close(): void;
}

export type Asked = { readonly kind: 'line'; readonly text: string } | { readonly kind: 'late' } | { readonly kind: 'end' };

/** More would be hard to read even where the window is wider. */
const WIDEST = 100;

/** The process's own terminal. */
export function processTerminal(env: Readonly<Record<string, string | undefined>>): Terminal {
  const { stdin, stdout, stderr } = process;
  // `fabula … | head` closes the pipe early: that is no failure.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  let keyboard: Keyboard | undefined;
  return {
    out: (text) => void stdout.write(text),
    pour: (bytes) => new Promise((resolve) => (stdout.write(bytes) ? resolve() : stdout.once('drain', resolve))),
    err: (text) => void stderr.write(text),
    columns: Math.min(stdout.columns ?? 80, WIDEST),
    coloured: stdout.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
    bars: stderr.isTTY === true && env['TERM'] !== 'dumb' ? stderr : undefined,
    ask(question, late) {
      keyboard ??= new Keyboard(createInterface({ input: stdin, output: stdout, terminal: stdin.isTTY === true && stdout.isTTY === true }));
      return keyboard.ask(question, late);
    },
    close: () => keyboard?.close(),
  };
}

/** Lines are kept until asked for: a pipe gives many at once. */
class Keyboard {
  private readonly lines: string[] = [];
  private ended = false;
  private waiting: (() => void) | undefined;

  constructor(private readonly reader: Interface) {
    reader.on('line', (line) => {
      this.lines.push(line);
      this.waiting?.();
    });
    reader.on('close', () => {
      this.ended = true;
      this.waiting?.();
    });
  }

  async ask(question: string, late?: AbortSignal): Promise<Asked> {
    this.reader.setPrompt(question);
    this.reader.prompt();
    for (;;) {
      const text = this.lines.shift();
      if (text !== undefined) return { kind: 'line', text };
      if (this.ended) return { kind: 'end' };
      if (late?.aborted === true) return { kind: 'late' };
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
        late?.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }
  close(): void {
    this.reader.close();
  }
}
