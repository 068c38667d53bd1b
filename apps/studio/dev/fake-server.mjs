/*
 * A server for looking at the player without Fabula behind it: schema.graphql over a few pages kept in memory. It guards nothing and proves nothing.
 *   npx vite build -c apps/studio/vite.config.ts && node apps/studio/dev/fake-server.mjs [port]
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSchema, graphql, GraphQLError } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import { parse } from 'yaml';

const root = resolve(fileURLToPath(import.meta.url), '../../../..');
const pages = join(root, 'dist/apps/studio');
const schema = buildSchema(readFileSync(join(root, 'schema.graphql'), 'utf8'));
const source = parse(readFileSync(join(root, 'stories/the-inspector-of-bells.yaml'), 'utf8'));
const content = new Map(
  Object.entries(source.passages).map(([id, { title, text, choices = [], ending }]) => [
    id,
    { id, title, text: text.map((part) => (typeof part === 'string' ? part : '')).join(''), choices, ending },
  ]),
);
const story = { id: source.id, title: source.title, author: source.author, description: source.description, language: 'en', version: null };
const other = {
  ...story,
  id: 'the-cloakroom',
  title: 'The Cloakroom',
  description: 'The opera is over, and one coat is left. It has somebody’s whole life in its pockets.',
};

const playthroughs = new Map();
const watchers = new Set();
const seen = new Map();
export const faults = { next: undefined, received: [], stories: [story, other], delayMs: 0 };

const refuse = (code, extensions = {}) =>
  new GraphQLError(code, { extensions: { code, retryable: false, correlationId: '3f0c2b9e-0000-4000-8000-000000000000', ...extensions } });
const page = (nodes) => ({
  edges: nodes.map((node, index) => ({ cursor: String(index), node })),
  pageInfo: { hasNextPage: false, endCursor: null },
});

function momentOf(state) {
  const { id, title, text, choices, ending } = content.get(state.passage);
  const timed = choices.find(({ kind }) => kind === 'timed');
  return {
    passage: { id, title, text: text.replace(/\{\{\w+\}\}/g, '7'), tags: [] },
    choices: choices
      .filter(({ kind, visibleWhen }) => kind !== 'timed' && (visibleWhen === undefined || state.passage.startsWith('alarm')))
      .map(({ id: choiceId, label, reason, kind }) => ({
        id: choiceId,
        label,
        enabled: reason === undefined,
        reason: reason ?? null,
        kind: kind === 'fallback' ? 'FALLBACK' : 'NORMAL',
      }))
      .concat(
        state.passage === 'square'
          ? ['goat', 'ledger'].map((to) => ({ id: `storylet:${to}`, label: content.get(to).title, enabled: true, kind: 'STORYLET' }))
          : [],
      ),
    deadline: timed === undefined ? null : new Date(state.at + timed.timeoutMs).toISOString(),
    ending: ending ?? null,
    endingTitle: ending === undefined ? null : source.endings[ending].title,
    variables: [
      { name: 'daylight', label: 'Hours of daylight', value: Math.max(0, 8 - state.history.length) },
      { name: 'freeboard', label: 'Hands of dry wall at the dam', value: 7 },
      { name: 'verdict', label: 'Form 11', value: 'blank' },
      { name: 'pack', label: 'Carrying', value: ['fork', 'form', 'brandy'] },
      { name: 'notes', label: 'Notebook', value: [] },
    ],
  };
}
const view = (state) => ({
  ...state,
  story,
  version: { hash: 'f'.repeat(64), status: 'PUBLISHED' },
  status: content.get(state.passage).ending === undefined ? 'ACTIVE' : 'ENDED',
  moment: () => momentOf(state),
  history: () => page(state.history.toReversed()),
  stateHash: '0'.repeat(64),
  position: `p0:${state.turn}`,
  startedAt: null,
});
const payload = (state, duplicate = false) => ({
  playthrough: view(state),
  position: `p0:${state.turn}`,
  turn: state.turn,
  duplicate,
  correlationId: 'c',
});
const announce = () => watchers.forEach((wake) => wake());

function move(state, to, kind, choiceId, label, changes = []) {
  state.turn += 1;
  state.past.push(state.passage);
  state.history.push({
    turn: state.turn,
    kind,
    passageId: state.passage,
    choiceId,
    label,
    at: new Date().toISOString(),
    correlationId: 'c',
    changes,
  });
  state.passage = to;
  state.at = Date.now();
  const timed = content.get(to).choices.find((choice) => choice.kind === 'timed');
  const { turn } = state;
  if (timed !== undefined) {
    setTimeout(() => state.turn === turn && move(state, timed.target, 'TIMED_OUT', timed.id, timed.label), timed.timeoutMs + 300).unref();
  }
  announce();
}
const begin = (forkedFrom = null, past = [], passage = 'bus') => {
  const state = {
    id: `p-${playthroughs.size + 1}`,
    turn: past.length,
    passage,
    at: Date.now(),
    past: [...past],
    history: [],
    checkpoints: [],
    forkedFrom,
  };
  playthroughs.set(state.id, state);
  return state;
};
const found = (id) => {
  const state = playthroughs.get(id);
  if (state === undefined) throw refuse('PLAYTHROUGH_NOT_FOUND');
  return state;
};
const atTurn = (state, turn) => {
  if (turn !== state.turn) throw refuse('TURN_STALE', { retryable: true, turn: state.turn, moment: momentOf(state) });
  return state;
};
/** Each command once, as the real one does. */
const once = (input, run) => {
  faults.received.push(input.commandId);
  const before = seen.get(input.commandId);
  if (before !== undefined) return payload(before, true);
  if (faults.next !== undefined) {
    const code = faults.next;
    faults.next = undefined;
    throw refuse(code, { retryable: code !== 'INTERNAL' });
  }
  const state = run();
  seen.set(input.commandId, state);
  return payload(state);
};

const resolvers = {
  stories: () => page(faults.stories),
  story: ({ id }) => (id === story.id ? story : null),
  playthrough: ({ id }) => (playthroughs.has(id) ? view(playthroughs.get(id)) : null),
  myPlaythroughs: () => page([...playthroughs.values()].toReversed().map(view)),
  startPlaythrough: ({ input }) => once(input, () => begin()),
  choose: ({ input }) =>
    once(input, () => {
      const state = atTurn(found(input.playthroughId), input.turn);
      const storylet = /^storylet:(.*)$/.exec(input.choiceId)?.[1];
      const choice = content.get(state.passage).choices.find(({ id }) => id === input.choiceId);
      if (choice === undefined && storylet === undefined) throw refuse('CHOICE_UNKNOWN');
      const to = storylet ?? (typeof choice.target === 'string' ? choice.target : 'square');
      const label = storylet === undefined ? choice.label : content.get(storylet).title;
      const changes =
        choice?.effects === undefined
          ? []
          : [
              { name: 'pack', from: ['fork', 'form'], to: ['brandy', 'fork'] },
              { name: 'daylight', from: 7, to: 6 },
            ];
      move(state, to, 'CHOICE', input.choiceId, label, changes);
      return state;
    }),
  rewind: ({ input }) =>
    once(input, () => {
      const state = atTurn(found(input.playthroughId), input.turn);
      move(state, state.past[input.toTurn] ?? state.passage, 'REWOUND', '', `Turn ${input.toTurn}`);
      return state;
    }),
  fork: ({ input }) =>
    once(input, () => {
      const from = found(input.playthroughId);
      return begin({ playthroughId: from.id, turn: input.atTurn }, from.past.slice(0, input.atTurn), from.past[input.atTurn]);
    }),
  setCheckpoint: ({ input }) =>
    once(input, () => {
      const state = found(input.playthroughId);
      state.checkpoints.push({ name: input.name, turn: input.turn });
      announce();
      return state;
    }),
  async *playthroughChanged({ id }) {
    for (;;) {
      yield { playthroughChanged: view(found(id)) };
      let wake;
      await new Promise((resolve) => watchers.add((wake = resolve)));
      watchers.delete(wake);
    }
  },
};

const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** GraphiQL's editor writes style elements, carries fonts in its style sheet, and needs no more than that. */
const graphiqlPolicy =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; worker-src 'self' blob:";

/** Jumps to any passage, so that a page can be looked at without playing up to it. */
export function jump(passage) {
  const state = begin();
  move(state, 'arrival', 'CHOICE', 'get-off', 'Get off the bus');
  move(state, passage, 'CHOICE', 'thank-her', 'Thank her, and step out into the square', [
    { name: 'pack', from: ['fork', 'form'], to: ['brandy', 'fork'] },
    { name: 'daylight', from: 8, to: 7 },
  ]);
  return state.id;
}
export const turnElsewhere = (id, to) => move(found(id), to, 'CHOICE', 'elsewhere', 'Something chosen in another window');

export async function serve(port) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    if (pathname === '/play/token') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ token: 'fake', expiresAt: Date.now() + 3_600_000 }));
      return;
    }
    if (pathname === '/graphql') {
      let body = '';
      for await (const chunk of request) body += chunk;
      const { query, variables } = JSON.parse(body);
      if (faults.delayMs > 0) await new Promise((wake) => setTimeout(wake, faults.delayMs));
      const result = await graphql({ schema, source: query, rootValue: resolvers, variableValues: variables });
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(result));
      return;
    }
    const file = ['/play', '/graphiql'].includes(pathname) ? `${pathname}/index.html` : normalize(pathname);
    try {
      const bytes = readFileSync(join(pages, file));
      response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream');
      response.setHeader('content-security-policy', file.startsWith('/graphiql') ? graphiqlPolicy : policy);
      response.end(bytes);
    } catch {
      // No such file: the only thing a reader of this server can be told.
      response.statusCode = 404;
      response.end('not found');
    }
  });
  const sockets = new WebSocketServer({ server, path: '/graphql' });
  useServer({ schema, roots: { subscription: { playthroughChanged: (args) => resolvers.playthroughChanged(args) } } }, sockets);
  await new Promise((listening) => server.listen(port, '127.0.0.1', listening));
  return {
    port: server.address().port,
    close: () => {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      server.close();
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { port } = await serve(Number(process.argv[2] ?? 8099));
  process.stdout.write(`http://127.0.0.1:${port}/play\n`);
}
