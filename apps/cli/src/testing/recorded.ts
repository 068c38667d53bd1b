import { setTimeout as delay } from 'node:timers/promises';
import type { Cli } from '../cli.js';
import { run } from '../program.js';

/** What a command line said and how it ended. */
export interface Recorded {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Given {
  readonly env?: Readonly<Record<string, string>>;
  /** Lines typed, then the end of input. */
  readonly typed?: readonly string[];
  readonly coloured?: boolean;
  readonly columns?: number;
  readonly fetch?: Cli['fetch'];
  /** Against a running server: the process's own network, clock and timers. */
  readonly live?: true;
  /** Called for each question with the time that passes before the answer, in ms. */
  readonly think?: (question: number) => number;
}

/** Runs the program in this process; time passes only where a command sleeps or a reader thinks. */
export async function recorded(argv: readonly string[], given: Given = {}): Promise<Recorded> {
  let [out, err, now, questions] = ['', '', 1_800_000_000_000, 0];
  const typed = [...(given.typed ?? [])];
  const code = await run(argv, {
    terminal: {
      out: (text) => void (out += text),
      pour: (bytes) => Promise.resolve(void (out += Buffer.from(bytes).toString('utf8'))),
      err: (text) => void (err += text),
      columns: given.columns ?? 80,
      coloured: given.coloured ?? false,
      bars: undefined,
      ask(question, late) {
        out += question;
        now += given.think?.(questions++) ?? 0;
        if (late?.aborted === true) return Promise.resolve({ kind: 'late' });
        const text = typed.shift();
        return Promise.resolve(text === undefined ? { kind: 'end' } : { kind: 'line', text });
      },
      close: () => undefined,
    },
    env: given.env ?? {},
    fetch: given.fetch ?? (given.live ? globalThis.fetch : () => Promise.reject(new Error('no network in this spec'))),
    now: () => (given.live ? Date.now() : now),
    sleep: (ms, signal) => {
      if (given.live) return delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
      // Deadlines that a signal takes back never come; plain waiting is over at once.
      if (signal === undefined) now += ms;
      return signal === undefined
        ? Promise.resolve()
        : new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    },
    randomHex: (bytes) => 'ab'.repeat(bytes),
  });
  return { code, out, err };
}

/** Answers of a server by `METHOD /path`; what is not listed is 404. Every request is kept. */
export function server(answers: Readonly<Record<string, unknown>>): {
  readonly fetch: Cli['fetch'];
  readonly asked: string[];
  readonly bodies: string[];
  readonly tokens: Set<string>;
} {
  const asked: string[] = [];
  const bodies: string[] = [];
  const tokens = new Set<string>();
  const queues = new Map<string, unknown[]>();
  return {
    asked,
    bodies,
    tokens,
    fetch: (input, init) => {
      const url = new URL(input as URL);
      const key = `${init?.method ?? 'GET'} ${url.pathname}`;
      asked.push(`${key}${url.search}`);
      if (typeof init?.body === 'string') bodies.push(init.body);
      tokens.add(new Headers(init?.headers).get('authorization') ?? '');
      const given = answers[key];
      if (given === undefined)
        return Promise.resolve(Response.json({ code: 'NOT_FOUND', detail: 'nothing here', correlationId: 'c-1' }, { status: 404 }));
      // A list is answered one by one; its last answer stays.
      const queue = queues.get(key) ?? (Array.isArray(given) ? [...(given as unknown[])] : [given]);
      queues.set(key, queue);
      const next = queue.length > 1 ? queue.shift() : queue[0];
      if (next instanceof Response) return Promise.resolve(next.clone());
      return Promise.resolve(typeof next === 'string' ? new Response(next) : Response.json(next));
    },
  };
}

/** A Relay page with everything on it. */
export const page = (nodes: readonly unknown[]): object => ({
  edges: nodes.map((node, at) => ({ cursor: String(at), node })),
  pageInfo: { hasNextPage: false, endCursor: null },
});
