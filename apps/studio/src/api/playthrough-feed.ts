import { createClient } from 'graphql-ws';
import { playthroughChanged } from './operations.js';
import type { Playthrough } from './playthrough-types.js';
import type { TokenSource } from './token.js';

export type FeedState = 'live' | 'reconnecting';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 20_000;

/**
 * Watches one playthrough until the returned function is called. The server sends it as it is on every (re)connection, so nothing is missed.
 */
export function watchPlaythrough(
  id: string,
  tokens: TokenSource,
  on: { readonly playthrough: (playthrough: Playthrough) => void; readonly state: (state: FeedState) => void },
): () => void {
  const client = createClient({
    url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/graphql`,
    connectionParams: async () => ({ authorization: `Bearer ${await tokens.token()}` }),
    keepAlive: 20_000,
    retryAttempts: Number.MAX_SAFE_INTEGER,
    shouldRetry: () => true,
    retryWait: (retries) =>
      new Promise((resolve) => {
        // Spread, so that a server that comes back is not met by all its readers at once.
        setTimeout(resolve, Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** retries) * (0.5 + Math.random() / 2));
      }),
    on: {
      connected: () => on.state('live'),
      closed: (event) => {
        if ((event as { code?: number }).code === 4403) tokens.refused();
        on.state('reconnecting');
      },
    },
  });
  const stop = client.subscribe<{ playthroughChanged: Playthrough }, never>(
    { query: playthroughChanged.document, variables: { id } },
    {
      next: ({ data, errors }) => {
        // Something beside the playthrough could not be looked up: a new connection is sent all of it again.
        if (errors !== undefined) client.terminate();
        else if (data?.playthroughChanged) on.playthrough(data.playthroughChanged);
      },
      // Refused for good (for example: not this reader's). Asking and choosing still work and tell why.
      error: () => on.state('reconnecting'),
      complete: () => undefined,
    },
  );
  return () => {
    stop();
    void client.dispose();
  };
}
