import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import './graphiql.css';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws';
import { createRoot } from 'react-dom/client';
import { browserTokens } from '../api/token.js';
import { newUuid } from '../play/uuid.js';

/* A convenience for development: the same reader as the player in this browser, unless a header names another token. */
const tokens = browserTokens({
  fetch: (input, init) => fetch(input, init),
  local: localStorage,
  session: sessionStorage,
  now: Date.now,
  newName: newUuid,
});
const scheme = location.protocol === 'https:' ? 'wss' : 'ws';

const fetcher = createGraphiQLFetcher({
  url: '/graphql',
  fetch: async (input, init) => {
    const headers = new Headers(init?.headers);
    if (!headers.has('authorization')) headers.set('authorization', `Bearer ${await tokens.token()}`);
    return fetch(input, { ...init, headers });
  },
  wsClient: createClient({
    url: `${scheme}://${location.host}/graphql`,
    connectionParams: async () => ({ authorization: `Bearer ${await tokens.token()}` }),
  }),
});

const query = `# Everything the player does goes through this API.
query Stories {
  stories { edges { node { id title author description } } }
}
`;

createRoot(document.getElementById('root') as HTMLElement).render(<GraphiQL fetcher={fetcher} defaultQuery={query} />);
