import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AccessNotRecorded, type Access, type AccessRecorder, type AccessTarget } from '#lib/audit';
import { FabulaError } from '#lib/platform';
import type { Caller } from '../http/auth.js';
import { asFabulaError, problemJson } from '../http/problem.js';
import type { AccessRule, Telling } from './access-trail.js';
import { isPlainRoute } from './plain-routes.js';

interface Told {
  readonly access: Access;
  readonly telling: Telling;
}

/** Search terms that are taken over; whatever else a query string holds is refused by the routes. */
const SEARCH_TERMS = new Set(
  'correlationId playthroughId actor from to log index size since storyId status kind partition event outcome stream subject format checkpoints first after against'.split(
    ' ',
  ),
);

/** Everybody but who only reads their own. */
export const isStaff = (caller: Caller): boolean => [...caller.roles].some((role) => role !== 'reader');

/** Tells the access log of every request, before its answer leaves where the rules ask for it. There is no setting that stops it. */
export function tellAccesses(fastify: FastifyInstance, recorder: AccessRecorder, now: () => number): void {
  fastify.addHook('onSend', async (request, reply, payload) => {
    const told = toldOf(request, reply, now());
    if (told === undefined) return payload;
    try {
      await tell(recorder, told);
      return payload;
    } catch (error) {
      if (!(error instanceof AccessNotRecorded)) throw error;
      (payload as { destroy?(): void } | null)?.destroy?.();
      return refusal(request, reply);
    }
  });
}

/** @throws AccessNotRecorded */
export async function tell(recorder: AccessRecorder, { access, telling }: Told): Promise<void> {
  if (telling === 'counted') recorder.summarise(access);
  else if (telling === 'once') await recorder.recordOnce(access);
  else await recorder.record(access);
}

/** The answer in place of one that nobody may see: what was asked may have been done, but it has not been shown. */
function refusal(request: FastifyRequest, reply: FastifyReply): string {
  const only = request.method === 'GET' || request.method === 'HEAD' || request.fabula.access.action?.startsWith('query ') === true;
  const problem = asFabulaError(notRecorded(!only));
  void reply.removeHeader('content-length');
  void reply.removeHeader('content-disposition');
  void reply.header('retry-after', '1');
  const { correlationId } = request.fabula;
  if (request.routeOptions.url === '/graphql') {
    const { code, message, retryable, retryAfterMs } = problem;
    void reply.status(200).type('application/json');
    return JSON.stringify({ data: null, errors: [{ message, extensions: { code, retryable, retryAfterMs, correlationId } }] });
  }
  void reply.status(problem.status).type('application/problem+json');
  return JSON.stringify(problemJson(problem, correlationId));
}

export function notRecorded(mayHaveTakenEffect: boolean): FabulaError {
  return mayHaveTakenEffect
    ? new FabulaError('OUTCOME_UNKNOWN', 'The access log cannot be written at present, so the answer is withheld; send the same again.')
    : new FabulaError('OVERLOADED', 'The access log cannot be written at present, so nothing is shown.');
}

/** What is to be told of a request, if anything. */
function toldOf(request: FastifyRequest, reply: FastifyReply, at: number): Told | undefined {
  // Before the first hook ran there is nobody and nothing yet.
  if (request.fabula === undefined) return undefined;
  const { caller, correlationId, access: trail } = request.fabula;
  const route = request.routeOptions.url;
  const outcome = trail.outcome ?? (reply.statusCode < 400 ? 'ok' : `HTTP_${reply.statusCode}`);
  const action = trail.action ?? `${request.method} ${route ?? '(no such path)'}`;
  const common = { at, action, outcome, correlationId, actor: caller?.actor ?? null, roles: [...(caller?.roles ?? [])] };
  if (outcome === 'UNAUTHENTICATED') return { access: { ...common, event: 'authn_login_fail' }, telling: 'counted' };
  if (outcome === 'RATE_LIMITED') return { access: { ...common, event: 'excess_rate_limit_exceeded' }, telling: 'counted' };
  if (caller === undefined || route === undefined || trail.rule === 'public') return undefined;
  if (trail.rule === undefined && isPlainRoute(route)) return undefined;

  const rule = trail.rule ?? ruleOf(request, trail.action);
  const access: Access = {
    ...common,
    event: outcome === 'FORBIDDEN' ? 'authz_fail' : rule.event,
    target: { ...sentTarget(request), ...trail.target },
    stream: trail.stream ?? streamOf(request, route),
  };
  if (!isStaff(caller)) {
    // What a reader's command became is in the event log.
    if (trail.commands === true && outcome === 'ok') return undefined;
    return { access, telling: 'counted' };
  }
  // Nothing was shown, and telling it could only add to the load.
  if (outcome === 'OVERLOADED') return { access, telling: 'counted' };
  if (route.startsWith('/audit/logs/') && access.target?.['log'] === 'access') return { access, telling: 'once' };
  return { access, telling: outcome === 'ok' ? rule.telling : 'before-answer' };
}

/** Of requests that were refused before they came to their route's guard. */
function ruleOf(request: FastifyRequest, operation: string | undefined): AccessRule {
  if (operation !== undefined) return graphqlRule(operation);
  return { event: defaultEvent(request.method), telling: 'before-answer' };
}

export const graphqlRule = (operation: string): AccessRule => ({
  event: operation.startsWith('mutation') ? 'sensitive_update' : 'sensitive_read',
  telling: 'before-answer',
});

/** Reading, or OWASP's word for whatever privileged users do. */
export const defaultEvent = (method: string): 'sensitive_read' | 'authz_admin' =>
  method === 'GET' || method === 'HEAD' ? 'sensitive_read' : 'authz_admin';

/** Ids in the path and terms of the search; never the body. */
function sentTarget(request: FastifyRequest): AccessTarget {
  const target: Record<string, string> = {};
  const take = (given: unknown, wanted: (name: string) => boolean): void => {
    if (typeof given !== 'object' || given === null) return;
    for (const [name, value] of Object.entries(given)) if (typeof value === 'string' && wanted(name)) target[name] = value;
  };
  take(request.query, (name) => SEARCH_TERMS.has(name));
  take(request.params, (name) => name !== '*');
  return target;
}

function streamOf(request: FastifyRequest, route: string): string | undefined {
  const { id } = (request.params ?? {}) as { readonly id?: unknown };
  const { playthroughId } = (request.query ?? {}) as { readonly playthroughId?: unknown };
  const stream =
    typeof playthroughId === 'string'
      ? `playthrough/${playthroughId}`
      : typeof id !== 'string'
        ? undefined
        : route.startsWith('/admin/playthroughs/')
          ? `playthrough/${id}`
          : route.startsWith('/admin/stories/')
            ? `story/${id}`
            : undefined;
  return stream === undefined || stream.length > 200 ? undefined : stream.replaceAll('\0', '');
}
