import { ACCESS_EVENTS } from '#lib/audit';
import { USER_ROLES, type UserRole } from '#lib/platform';
import { resolvers } from '../graphql/resolvers.js';
import { INTERNAL_PATH } from '../internal-transport.js';
import { apiControllers, everywhereControllers } from '../rest/controllers.js';
import { endpointsOf, type Endpoint } from './endpoints.js';
import { PLAIN_ROUTES } from './plain-routes.js';

/** Everything that can be asked of a server with every process role, beside pages. */
export const endpoints = (): readonly Endpoint[] => endpointsOf([...everywhereControllers, ...apiControllers], resolvers);

/** Whether somebody with these roles may: what the guard decides, as the docs and the test of every endpoint read it. */
export function mayCall({ roles, separated }: Endpoint, own: readonly UserRole[]): boolean {
  if (roles === undefined) return false;
  if (roles.length === 0) return true;
  return roles.some((role) => own.includes(role)) && !separated.some((role) => own.includes(role));
}

const DUTIES: Readonly<Record<UserRole, string>> = {
  reader: 'plays; sees their own playthroughs and nobody else’s',
  author: 'imports, publishes and retires stories; sees playthroughs by pseudonym',
  compliance: 'proofs, search, export, who looked at what',
  dpo: 'erasure, legal holds, what is kept about one reader',
  operator: 'keeps the server running; sees types, sizes and digests of what records hold, not what they say, unless the glass is broken',
  admin: 'approves what needs two people, and settings; may not export, whatever other roles the same token has',
};
const TELLING = { 'before-answer': 'before the answer', counted: 'counted', once: 'once in ten minutes, then counted' } as const;

/** docs/reference/roles.md */
export function rolesReference(): string {
  const all = endpoints().filter(({ path }) => path !== INTERNAL_PATH);
  const row = (endpoint: Endpoint): string => {
    const name = `\`${endpoint.method} ${endpoint.path.replaceAll(/:([a-zA-Z]+)/g, '{$1}')}\``;
    const cells = USER_ROLES.map((role) => (mayCall(endpoint, [role]) ? '✓' : endpoint.separated.includes(role) ? 'never' : ''));
    const told = endpoint.rule === undefined ? '' : `\`${endpoint.rule.event}\`, ${TELLING[endpoint.rule.telling]}`;
    return `| ${name} | ${endpoint.roles?.length === 0 ? '✓' : ''} | ${cells.join(' | ')} | ${told} |`;
  };
  const table = (rows: readonly Endpoint[]): string =>
    [
      `| | nobody in particular | ${USER_ROLES.join(' | ')} | access log |`,
      `|---|${'---|'.repeat(USER_ROLES.length + 2)}`,
      ...rows.toSorted((a, b) => compare(a.path, b.path) || compare(a.method, b.method)).map(row),
    ].join('\n');
  const isGraphql = ({ path }: Endpoint): boolean => !path.startsWith('/');
  return `# Who may do what

Generated from what the routes and resolvers declare (\`npm run generate\`); a test calls every endpoint with every role against a running server and compares. A route that declares nothing is open to nobody.

The roles are those in the claim \`roles\` of a token; one token may hold several.

| role | duties |
|---|---|
${USER_ROLES.map((role) => `| \`${role}\` | ${DUTIES[role]} |`).join('\n')}

The last column is what the [access log](access-log.md) says when staff call it (anybody with another role than \`reader\`). What readers do with their own is counted per minute; their accepted commands are in the event log.

## REST

${table(all.filter((one) => !isGraphql(one)))}

\`never\`: whoever has that role may not, even with another role that may.

## GraphQL

Queries and mutations by \`POST /graphql\`, subscriptions by WebSocket on the same path. A playthrough is shown to its own reader only: everybody else gets \`PLAYTHROUGH_NOT_FOUND\`. Starting a chosen version, or with a seed, needs the role \`author\`.

${table(all.filter(isGraphql))}

## Without a role

Pages and what they are made of: ${PLAIN_ROUTES.map((route) => `\`${route}\``).join(', ')} (\`/play/token\` and \`/graphiql\` only with the local development issuer). \`${INTERNAL_PATH}\` is for processes on the same database and known by its secret.

## Events of the access log

${ACCESS_EVENTS.map((event) => `\`${event}\``).join(', ')}: see [access-log.md](access-log.md).
`;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
