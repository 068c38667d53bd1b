import { Problem } from './problem.js';
import type { TokenSource } from './token.js';

const REQUEST_TIMEOUT_MS = 15_000;

/** A document with the types of its variables and its answer. */
export interface Operation<Answer, Variables> {
  readonly document: string;
  /** Never present: carries the types. */
  readonly types?: (variables: Variables) => Answer;
}

export interface GraphqlClient {
  /** @throws Problem */
  run<Answer, Variables>(operation: Operation<Answer, Variables>, variables: Variables): Promise<Answer>;
  /** The server's clock, as far as its answers told (ms since the epoch). */
  serverNow(): number;
}

interface GraphqlBody {
  readonly data?: unknown;
  readonly errors?: readonly { readonly message?: string; readonly extensions?: { readonly [key: string]: unknown } }[];
}

export function graphqlClient(environment: {
  readonly fetch: typeof fetch;
  readonly tokens: TokenSource;
  readonly now: () => number;
}): GraphqlClient {
  const { tokens, now } = environment;
  let clockOffset = 0;

  const post = async (document: string, variables: unknown): Promise<unknown> => {
    const token = await tokens.token();
    const sentAt = now();
    let response: Response;
    let body: GraphqlBody & { readonly code?: unknown; readonly detail?: unknown; readonly title?: unknown; readonly retryable?: unknown };
    try {
      response = await environment.fetch('/graphql', {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify({ query: document, variables }),
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      body = await response.json();
    } catch (error) {
      const timedOut = error instanceof DOMException && error.name === 'TimeoutError';
      throw new Problem(timedOut ? 'TIMEOUT' : 'NETWORK', String(error), true);
    }
    const date = Date.parse(response.headers.get('date') ?? '');
    // The header counts whole seconds: half a second is the best guess of the rest.
    if (!Number.isNaN(date)) clockOffset = date + 500 - (sentAt + now()) / 2;
    const [error] = body.errors ?? [];
    if (error !== undefined) {
      const extensions = error.extensions ?? {};
      const { code, retryable } = extensions;
      throw new Problem(typeof code === 'string' ? code : 'INTERNAL', error.message ?? 'unnamed error', retryable === true, extensions);
    }
    if (!response.ok || body.data === undefined || body.data === null) {
      const code = typeof body.code === 'string' ? body.code : 'INTERNAL';
      throw new Problem(
        code,
        String(body.detail ?? body.title ?? `HTTP ${response.status}`),
        body.retryable === true || response.status >= 500,
      );
    }
    return body.data;
  };

  return {
    async run<Answer, Variables>(operation: Operation<Answer, Variables>, variables: Variables): Promise<Answer> {
      try {
        return (await post(operation.document, variables)) as Answer;
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== 'UNAUTHENTICATED') throw error;
        // The token may have expired on its way, or the server's key changed: once more with a new one.
        tokens.refused();
        return (await post(operation.document, variables)) as Answer;
      }
    },
    serverNow: () => now() + clockOffset,
  };
}
