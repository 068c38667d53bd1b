import { GraphQLError, type DocumentNode, type ExecutionArgs } from 'graphql';
import { AccessNotRecorded, type AccessRecorder } from '#lib/audit';
import { FabulaError } from '#lib/platform';
import { requireRole, type Caller } from '../http/auth.js';
import type { RequestContext } from '../http/auth.js';
import { asFabulaError } from '../http/problem.js';
import { graphqlRule, isStaff, notRecorded, tell } from './access-hook.js';
import { resolvers } from '../graphql/resolvers.js';
import { endpointsOf } from './endpoints.js';
import { describeOperation, rootFields } from './graphql-operation.js';

/** A socket whose token was refused. */
export function refuseSocket(recorder: AccessRecorder, error: FabulaError, correlationId: string): void {
  // While the issuer's keys cannot be had nobody failed.
  if (error.code !== 'UNAUTHENTICATED') return;
  const nobody = { actor: null, roles: [], correlationId };
  recorder.summarise({ ...nobody, event: 'authn_login_fail', at: Date.now(), action: 'WEBSOCKET /graphql', outcome: error.code });
}

const SUBSCRIPTIONS = new Map(endpointsOf([], resolvers).map(({ path, roles }) => [path, roles ?? []]));

/**
 * Nest guards no subscription: the roles that its resolver declares are asked for here, and a refusal is told.
 * @throws FabulaError FORBIDDEN; OVERLOADED when it cannot be told
 */
export async function admitSubscription(
  recorder: AccessRecorder,
  caller: Caller | undefined,
  document: DocumentNode,
  correlationId: string,
): Promise<void> {
  try {
    for (const field of rootFields(document)) requireRole(caller, ...(SUBSCRIPTIONS.get(field) ?? []));
  } catch (error) {
    if (!(error instanceof FabulaError)) throw error;
    const refused = await tellSubscription(
      recorder,
      { document, variableValues: {}, contextValue: { caller, correlationId, access: {} } satisfies RequestContext },
      { errors: [error] },
    );
    throw refused ?? error;
  }
}

/**
 * Tells the access log that somebody follows something, before the first value is sent.
 * @returns why the subscription must not begin: it could not be told
 */
export async function tellSubscription(
  recorder: AccessRecorder,
  args: Pick<ExecutionArgs, 'document' | 'variableValues' | 'contextValue'>,
  result: unknown,
): Promise<FabulaError | undefined> {
  const { caller, correlationId, access: trail } = args.contextValue as RequestContext;
  if (caller === undefined) return undefined;
  describeOperation(trail, args.document, args.variableValues ?? {});
  const action = trail.action ?? 'subscription';
  const outcome = outcomeOf(result);
  const { event, telling } = graphqlRule(action);
  try {
    await tell(recorder, {
      telling: isStaff(caller) ? telling : 'counted',
      access: {
        event: outcome === 'FORBIDDEN' ? 'authz_fail' : event,
        at: Date.now(),
        actor: caller.actor,
        roles: [...caller.roles],
        action,
        target: trail.target,
        stream: trail.stream,
        outcome,
        correlationId,
      },
    });
    return undefined;
  } catch (error) {
    if (!(error instanceof AccessNotRecorded)) throw error;
    await (result as Partial<AsyncIterator<unknown>>).return?.();
    return notRecorded(false);
  }
}

/** A subscription that was opened is an iterator; one that was refused holds errors. */
function outcomeOf(result: unknown): string {
  const { errors } = result as { readonly errors?: readonly unknown[] };
  const error = errors?.[0];
  if (error === undefined) return 'ok';
  return asFabulaError(error instanceof GraphQLError ? (error.originalError ?? error) : error, 'to read').code;
}
