import {
  activeHolds,
  destroys,
  holdAgainst,
  ownProposal,
  targetOf,
  type Action,
  type ActionKind,
  type ComplianceState,
} from '#lib/compliance';
import type { ComplianceReads, Touched } from '#lib/projections';
import type { ActionWork } from './action-work.js';

/** What it takes to say whether an approved action may begin. */
export interface HindranceHost {
  readonly reads: Pick<ComplianceReads, 'touching'>;
  readonly works: ReadonlyMap<ActionKind, ActionWork>;
  readonly now: () => number;
  /** Whether the read models hold all that the log held when it was asked. */
  caughtUp(): Promise<boolean>;
}

/**
 * Why an approved action does not begin now; null: it may. Holds on everything and on the subject itself are judged by the stream, once more,
 * when it begins. Whether a hold on a story or a playthrough touches a subject is judged here, by read models that hold at least
 * everything that was in the log when the holds were looked at.
 */
export async function hindrance(host: HindranceHost, action: Action, state: ComplianceState): Promise<string | null> {
  const work = host.works.get(action.kind);
  if (work === undefined) return `nothing here carries out ${action.kind}`;
  const now = host.now();
  const hold = holdAgainst(state, { kind: action.kind, target: targetOf(action) }, now);
  if (hold !== undefined) return `hold ${hold.id} on ${hold.scope.kind === 'everything' ? 'everything' : 'this subject'} stands against it`;
  const own = ownProposal(state, { id: action.id, kind: action.kind, target: targetOf(action) });
  if (own !== undefined) return `${own.id} was proposed by whom this would forget: refuse or withdraw it first`;
  const narrower = destroys(action.kind) ? activeHolds(state, now).filter(({ scope }) => scope.kind !== 'everything') : [];
  if (action.kind === 'erase') {
    const scopes = narrower.flatMap(({ scope: { kind, id } }): readonly Touched[] =>
      kind === 'story' || kind === 'playthrough' ? [{ scopeKind: kind, scopeId: id }] : [],
    );
    if (scopes.length > 0 && !(await host.caughtUp())) return 'the read models are behind the log: holds cannot be judged yet';
    const [touched] = await host.reads.touching(action.subject, scopes);
    const by = narrower.find(({ scope }) => scope.kind === touched?.scopeKind && scope.id === touched.scopeId);
    if (by !== undefined) return `hold ${by.id} on ${by.scope.kind} ${by.scope.id} touches this subject`;
  }
  if (action.kind === 'prune' && narrower.length > 0 && !(await host.caughtUp()))
    return 'the read models are behind the log: holds cannot be judged yet';
  // What a prune would take, only whoever prunes can say: without its word every hold stands against it.
  if (action.kind === 'prune' && work.blockedBy === undefined && narrower.length > 0) return `${narrower.length} holds are active`;
  return (await work.blockedBy?.(action, narrower)) ?? null;
}
