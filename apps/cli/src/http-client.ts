import { CliFailure, EXIT } from './exit-codes.js';
import { oneLine } from './layout.js';
import type { Cli } from './cli.js';

/** A server that commands talk to, and who they say they are. */
export interface ServerAddress {
  readonly url: string;
  readonly token: string;
}

/** The server's problem document (RFC 9457), as far as commands read it. */
export interface Problem {
  readonly code?: string;
  readonly status?: number;
  readonly title?: string;
  readonly detail?: string;
  readonly retryable?: boolean;
  readonly retryAfterMs?: number;
  readonly correlationId?: string;
  readonly problems?: readonly unknown[];
  readonly [field: string]: unknown;
}

/** The server answered, and the answer is no. */
export class ServerRefused extends CliFailure {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    const { code = `HTTP ${status}`, detail, title, correlationId } = problem;
    super(oneLine(`${code}: ${detail ?? title ?? 'the server gave no reason'}`), EXIT.problems, [
      ...hints(code),
      ...(correlationId === undefined ? [] : [`correlation id ${oneLine(correlationId)}`]),
    ]);
  }
}

function hints(code: string): readonly string[] {
  if (code === 'UNAUTHENTICATED')
    return ['Give a valid token with --token or FABULA_TOKEN; `fabula token --help` tells how to make one for a local server.'];
  if (code === 'FORBIDDEN') return ['The token lacks the role that this call needs.'];
  return [];
}

interface Asking {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const TIMEOUT_MS = 30_000;
const ATTEMPTS = 4;
const LONGEST_WAIT_MS = 10_000;

/** Calls of the REST API with a deadline; reads are tried again when the server says that it may help. */
export class HttpClient {
  constructor(
    private readonly cli: Cli,
    readonly address: ServerAddress,
  ) {}

  async get<T>(path: string, query: Asking['query'] = {}): Promise<T> {
    return (await (await this.response(path, { query })).json()) as T;
  }
  async text(path: string, query: Asking['query'] = {}): Promise<string> {
    return (await this.response(path, { query })).text();
  }
  async post<T>(path: string, asking: Omit<Asking, 'method'> = {}): Promise<{ readonly status: number; readonly value: T }> {
    const response = await this.response(path, { ...asking, method: 'POST' });
    return { status: response.status, value: (await response.json()) as T };
  }

  /** Every node of a list, page by page. */
  async *all<T>(path: string, query: Asking['query'] = {}): AsyncGenerator<T> {
    let after: string | undefined;
    for (;;) {
      const page: Page<T> = await this.get(path, { ...query, first: 100, after });
      for (const { node } of page.edges) yield node;
      const { hasNextPage, endCursor } = page.pageInfo;
      if (!hasNextPage || endCursor === null || endCursor === after) return;
      after = endCursor;
    }
  }

  /**
   * @throws ServerRefused when the server answers no; CliFailure with exit code 3 when it cannot be reached
   */
  async response(path: string, asking: Asking = {}): Promise<Response> {
    const { method = 'GET' } = asking;
    for (let attempt = 1; ; attempt++) {
      const response = await this.once(path, method, asking);
      if (response.ok) return response;
      const refused = new ServerRefused(response.status, await problemOf(response));
      if (method !== 'GET' || refused.problem.retryable !== true || attempt === ATTEMPTS) throw refused;
      await this.cli.sleep(Math.min(LONGEST_WAIT_MS, refused.problem.retryAfterMs ?? 1_000));
    }
  }

  private async once(
    path: string,
    method: 'GET' | 'POST' | 'DELETE',
    { query = {}, body, contentType, headers }: Asking,
  ): Promise<Response> {
    const url = new URL(this.address.url.replace(/\/+$/, '') + path);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
    const deadline = new AbortController();
    // Only until the answer begins: a download may take longer than any deadline.
    const done = new AbortController();
    void this.cli
      .sleep(TIMEOUT_MS, done.signal)
      .then(() => done.signal.aborted || deadline.abort(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)));
    try {
      return await this.cli.fetch(url, {
        method,
        signal: deadline.signal,
        redirect: 'error',
        headers: {
          authorization: `Bearer ${this.address.token}`,
          accept: 'application/json, */*;q=0.5',
          ...headers,
          ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
        },
        ...(body === undefined ? {} : { body }),
      });
    } catch (error) {
      throw new CliFailure(`The server at ${this.address.url} cannot be reached: ${reasonOf(error)}`, EXIT.unreachable, [
        'Start one with `npm start`, or name another with --url or FABULA_URL.',
      ]);
    } finally {
      done.abort();
    }
  }
}

interface Page<T> {
  readonly edges: readonly { readonly node: T }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Problem;
  } catch {
    // Not ours, a proxy's page perhaps: its beginning is shown below.
  }
  return { detail: `${response.statusText} ${text.slice(0, 200)}` };
}

/** `fetch failed` hides why: the cause says it. */
function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: string; message?: string } };
  const text = cause?.message || cause?.code || (error instanceof Error ? error.message : String(error));
  return oneLine(text);
}
