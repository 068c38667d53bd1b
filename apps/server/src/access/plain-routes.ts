/** Routes beside those of controllers, all open to everybody: pages and what they are made of, and the API's own description. */
export const PLAIN_ROUTES = ['/', '/play', '/play/icon.svg', '/play/token', '/graphiql', '/assets/*', '/admin/openapi.json'] as const;

export const isPlainRoute = (route: string): boolean => (PLAIN_ROUTES as readonly string[]).includes(route);
