import { canonicalJson, NotCanonical, type Json } from '#lib/canonical';
import { upcast, type Decider, type Rejection } from '#lib/decision';
import { actionShapes, approvers, isActionKind, proposers, targetOf, type Action, type Role } from './action.js';
import { commandShapes } from './compliance-shapes.js';
import { complianceEvents, complianceStateHash } from './compliance-state.js';
import {
  MAX_ACTIONS,
  MAX_ACTIONS_BYTES,
  MAX_GLASS_MS,
  MAX_GLASSES,
  MAX_HOLDS,
  MAX_HOLDS_BYTES,
  MAX_PROPOSAL_MS,
  MAX_RESULT_BYTES,
  type ComplianceCommand,
  type ComplianceContext,
  type ComplianceEvent,
  type ComplianceRejectionCode,
  type ComplianceState,
  type OpenAction,
} from './compliance-stream.js';
import { evolve } from './evolve.js';
import { holdAgainst, ownProposal } from './holds.js';

type Unhashed<E extends ComplianceEvent = ComplianceEvent> = E extends ComplianceEvent ? Omit<E, 'stateHash'> : never;
type Refusal = Rejection<ComplianceRejectionCode>;
type Decided = readonly Unhashed[] | Refusal;
type Given<T extends ComplianceCommand['type']> = Extract<ComplianceCommand, { type: T }>;

/** What every branch of a decision needs. */
interface Case {
  readonly state: ComplianceState;
  readonly at: number;
  readonly by: { readonly by: string; readonly role: Role };
}

const NOTHING: ComplianceState = { actions: [], glasses: [], holds: [], lastAt: 0, placed: 0 };

/** Behaviour of the stream `compliance/main`. */
export const compliance: Decider<ComplianceState | null, ComplianceCommand, ComplianceEvent, ComplianceContext> = {
  initial: () => null,
  decide,
  evolve,
};

/** Pure and total. An empty list: what was asked for is so already. */
function decide(
  command: ComplianceCommand,
  state: ComplianceState | null,
  context: ComplianceContext,
): readonly ComplianceEvent[] | Refusal {
  const problem = inputProblem(command);
  if (problem !== undefined) return problem;
  const at = Math.max(context.now, state?.lastAt ?? 0);
  const decided = unhashed(command, { state: state ?? NOTHING, at, by: { by: context.actor.id, role: context.actor.role } });
  if ('rejected' in decided) return decided;
  let after = state;
  return decided.map((one) => {
    const event = { ...one, stateHash: '' } as ComplianceEvent;
    // What is written may be older than what is folded.
    after = evolve(after, upcast(event, complianceEvents) as unknown as ComplianceEvent);
    return { ...event, stateHash: complianceStateHash(after ?? NOTHING) };
  });
}

function unhashed(command: ComplianceCommand, one: Case): Decided {
  switch (command.type) {
    case 'propose':
      return proposed(command, one);
    case 'approve':
      return approved(command, one);
    case 'refuse':
      return refusedByAnother(command, one);
    case 'withdraw':
      return withdrawn(command, one);
    case 'placeHold':
      return held(command, one);
    case 'breakGlass':
      return glassBroken(command, one);
    case 'closeGlass':
      return glassClosed(command, one);
    case 'begin':
      return bySystem(one) ?? begun(command, one);
    case 'logBase':
      return bySystem(one) ?? baseTaken(command, one);
    case 'carriedOut':
      return bySystem(one) ?? carriedOut(command, one);
    case 'expire':
      return bySystem(one) ?? expired(command, one);
  }
}

function proposed({ action, reason, expiresAt }: Given<'propose'>, { state, at, by }: Case): Decided {
  const { id, kind } = action;
  if (state.actions.some((open) => open.id === id)) return [];
  const may = proposers(kind);
  if (!may.includes(by.role)) return roleNeeded(may);
  if (expiresAt <= at || expiresAt > at + MAX_PROPOSAL_MS)
    return refused('BAD_INPUT', 'a proposal ends in the future, within two weeks', { field: 'expiresAt' });
  if (state.actions.some((open) => open.kind === 'erase' && open.target === by.by && open.stage !== 'proposed'))
    return refused('CONFLICT', 'whoever is about to be forgotten proposes nothing', {});
  const target = targetOf(action);
  const same = state.actions.find((open) => open.kind === kind && target !== '' && open.target === target);
  if (same !== undefined) return refused('CONFLICT', `${same.id} is open for the same`, { action: same.id });
  if (action.kind === 'release-hold' && !state.holds.some((hold) => hold.id === action.hold)) return noHold(action.hold);
  const hold = holdAgainst(state, { kind, target }, at);
  if (hold !== undefined) return heldBy(hold.id);
  const open: OpenAction = { by: by.by, expiresAt, id, kind, role: by.role, stage: 'proposed', target };
  if (state.actions.length >= MAX_ACTIONS || bytes([...state.actions, open]) > MAX_ACTIONS_BYTES)
    return refused('TOO_MANY_OPEN', 'too many actions are open; approve, refuse or withdraw some first', { limit: MAX_ACTIONS });
  return [{ type: 'ActionProposed', v: 1, at, action, ...by, reason, expiresAt }];
}

function approved({ id }: Given<'approve'>, { state, at, by }: Case): Decided {
  const action = state.actions.find((open) => open.id === id);
  if (action === undefined) return noAction(id);
  // Before any question of time: who proposed it never learns that it would have been enough.
  if (action.by === by.by) return another();
  const may = approvers(action.kind, action.role);
  if (!may.includes(by.role)) return roleNeeded(may);
  if (action.stage !== 'proposed') return refused('CONFLICT', 'it is approved already', { stage: action.stage });
  if (at >= action.expiresAt)
    return refused('ACTION_EXPIRED', 'the time to approve it is over; propose it anew', { expiresAt: action.expiresAt });
  const hold = holdAgainst(state, action, at);
  if (hold !== undefined) return heldBy(hold.id);
  const own = ownProposal(state, action);
  if (own !== undefined) return ofSubject(own);
  const approval = { type: 'ActionApproved', v: 1, id, at, ...by } as const;
  if (action.kind !== 'release-hold') return [approval];
  if (!state.holds.some((one) => one.id === action.target)) return noHold(action.target);
  // Nothing outside has to be done for it: it happens with the approval.
  return [
    approval,
    { type: 'HoldReleased', v: 1, id: action.target, at, action: id },
    { type: 'ActionCarriedOut', v: 1, id, at, result: { hold: action.target } },
  ];
}

function refusedByAnother({ id, reason }: Given<'refuse'>, { state, at, by }: Case): Decided {
  const action = state.actions.find((open) => open.id === id);
  if (action === undefined) return noAction(id);
  if (action.by === by.by) return refused('NEEDS_ANOTHER_PERSON', 'another person refuses it; who proposed it withdraws it');
  const may = approvers(action.kind, action.role);
  if (!may.includes(by.role)) return roleNeeded(may);
  if (action.stage === 'begun') return underWay();
  return [{ type: 'ActionRefused', v: 1, id, at, ...by, reason }];
}

function withdrawn({ id }: Given<'withdraw'>, { state, at, by }: Case): Decided {
  const action = state.actions.find((open) => open.id === id);
  if (action === undefined) return noAction(id);
  if (action.by !== by.by) return refused('FORBIDDEN', 'only who proposed it can withdraw it; others refuse it');
  if (action.stage === 'begun') return underWay();
  return [{ type: 'ActionWithdrawn', v: 1, id, at, ...by }];
}

function held({ id, matter, scope, until }: Given<'placeHold'>, { state, at, by }: Case): Decided {
  if (state.holds.some((hold) => hold.id === id)) return [];
  if (by.role !== 'dpo') return roleNeeded(['dpo']);
  if ((scope.kind === 'everything') !== (scope.id === '*'))
    return refused('BAD_INPUT', 'the id of a hold on everything is `*`, and of no other', { field: 'scope' });
  if (until !== null && until <= at) return refused('BAD_INPUT', 'a hold ends in the future', { field: 'until' });
  if (state.holds.length >= MAX_HOLDS || bytes([...state.holds, { id, scope, until }]) > MAX_HOLDS_BYTES)
    return refused('TOO_MANY_OPEN', 'too many holds; release some, or place one on a wider scope', { limit: MAX_HOLDS });
  return [{ type: 'HoldPlaced', v: 1, id, at, ...by, matter, scope, until }];
}

function glassBroken({ id, reason, until, correlationId }: Given<'breakGlass'>, { state, at, by }: Case): Decided {
  if (state.glasses.some((glass) => glass.id === id)) return [];
  if (by.role !== 'operator' && by.role !== 'admin') return roleNeeded(['operator', 'admin']);
  if (until <= at || until > at + MAX_GLASS_MS)
    return refused('BAD_INPUT', 'a broken glass is open for at most 60 minutes', { field: 'until' });
  const own = state.glasses.find((glass) => glass.by === by.by && glass.until > at);
  if (own !== undefined) return refused('CONFLICT', 'it is open for you already; close it first', { id: own.id });
  if (state.glasses.length >= MAX_GLASSES) return refused('TOO_MANY_OPEN', 'it is open for too many', { limit: MAX_GLASSES });
  return [{ type: 'BreakGlassOpened', v: 1, id, at, ...by, reason, until, correlationId }];
}

function glassClosed({ id }: Given<'closeGlass'>, { state, at, by }: Case): Decided {
  const glass = state.glasses.find((one) => one.id === id);
  if (glass === undefined) return refused('BREAK_GLASS_NOT_FOUND', 'it is not open', { id });
  if (glass.by !== by.by && !(['dpo', 'compliance', 'admin'] as readonly Role[]).includes(by.role))
    return roleNeeded(['dpo', 'compliance', 'admin']);
  return [{ type: 'BreakGlassClosed', v: 1, id, at, by: by.by }];
}

function begun({ id, judged }: Given<'begin'>, { state, at }: Case): Decided {
  const action = state.actions.find((open) => open.id === id);
  if (action === undefined) return noAction(id);
  if (action.stage === 'begun') return [];
  if (action.stage === 'proposed') return refused('CONFLICT', 'nobody has approved it', { stage: action.stage });
  const hold = holdAgainst(state, action, at);
  if (hold !== undefined) return heldBy(hold.id);
  const own = ownProposal(state, action);
  if (own !== undefined) return ofSubject(own);
  if (judged !== state.placed)
    return refused('CONFLICT', 'a hold was placed since its holds were judged; judge again', { placed: state.placed });
  return [{ type: 'ActionBegun', v: 1, id, at }];
}

function carriedOut({ id, result }: Given<'carriedOut'>, { state, at }: Case): Decided {
  const action = state.actions.find((open) => open.id === id);
  if (action === undefined) return noAction(id);
  if (action.stage !== 'begun') return refused('CONFLICT', 'it was not begun', { stage: action.stage });
  if (bytes(result) > MAX_RESULT_BYTES) return refused('BAD_INPUT', `a result has at most ${MAX_RESULT_BYTES} bytes`, { field: 'result' });
  return [{ type: 'ActionCarriedOut', v: 1, id, at, result }];
}

/** Which offset of which partition, the action says: whoever carries it out stays within it. */
function baseTaken({ id, partition, offset, digest }: Given<'logBase'>, { state, at }: Case): Decided {
  const action = state.actions.find((open) => open.id === id);
  if (action === undefined) return noAction(id);
  if (action.kind !== 'prune') return refused('BAD_INPUT', 'only a pruning takes a base', { field: 'id' });
  if (action.stage !== 'begun') return refused('CONFLICT', 'it was not begun', { stage: action.stage });
  return [{ type: 'LogBaseTaken', v: 1, id, at, partition, offset, digest }];
}

/** Total over what can end by time; what has ended otherwise meanwhile is left alone. */
function expired({ id }: Given<'expire'>, { state, at }: Case): Decided {
  const action = state.actions.find((open) => open.id === id);
  if (action?.stage === 'proposed' && at >= action.expiresAt) return [{ type: 'ActionExpired', v: 1, id, at }];
  const hold = state.holds.find((one) => one.id === id);
  if (hold !== undefined && hold.until !== null && at >= hold.until) return [{ type: 'HoldReleased', v: 1, id, at, action: null }];
  const glass = state.glasses.find((one) => one.id === id);
  if (glass !== undefined && at >= glass.until) return [{ type: 'BreakGlassClosed', v: 1, id, at, by: null }];
  return refused('CONFLICT', 'its time is not over, or it is gone', { id });
}

function inputProblem(command: unknown): Refusal | undefined {
  const type = typeof command === 'object' && command !== null ? (command as { readonly type?: unknown }).type : undefined;
  if (typeof type !== 'string' || !Object.hasOwn(commandShapes, type))
    return refused('BAD_INPUT', 'there is no such command', { field: 'type' });
  const fault = commandShapes[type as ComplianceCommand['type']].fault(command);
  if (fault !== undefined) return refused('BAD_INPUT', `${type}${fault}`, { field: fieldOf(fault) });
  const { action } = command as { readonly action?: Action };
  if (type === 'propose') {
    if (typeof action !== 'object' || action === null || !isActionKind(action.kind))
      return refused('BAD_INPUT', 'there is no such kind of action', { field: 'action.kind' });
    const wrong = actionShapes[action.kind].fault(action);
    if (wrong !== undefined) return refused('BAD_INPUT', `${action.kind}${wrong}`, { field: `action.${fieldOf(wrong)}` });
  }
  try {
    canonicalJson(command as Json);
    return undefined;
  } catch (error) {
    if (error instanceof NotCanonical || error instanceof RangeError || error instanceof TypeError)
      return refused('BAD_INPUT', 'the command holds what cannot be stored: half characters, or something that is no JSON');
    throw error;
  }
}

const fieldOf = (fault: string): string => /^\.([A-Za-z]+)/.exec(fault)?.[1] ?? '';
const bytes = (value: Json): number => new TextEncoder().encode(canonicalJson(value)).length;

const bySystem = ({ by }: Case): Refusal | undefined => (by.role === 'system' ? undefined : roleNeeded(['system']));
const noAction = (id: string): Refusal => refused('ACTION_NOT_FOUND', 'there is no such open action', { id });
const noHold = (id: string): Refusal => refused('HOLD_NOT_FOUND', 'there is no such hold', { id });
const heldBy = (hold: string): Refusal => refused('HELD', `hold ${hold} stands against it`, { hold });
const ofSubject = ({ id }: OpenAction): Refusal =>
  refused('CONFLICT', `${id} was proposed by whom this would forget: refuse or withdraw it first`, { action: id });
const underWay = (): Refusal => refused('CONFLICT', 'it is being carried out', { stage: 'begun' });
const another = (): Refusal => refused('NEEDS_ANOTHER_PERSON', 'another person than who proposed it must approve it');
const roleNeeded = (roles: readonly Role[]): Refusal =>
  refused('FORBIDDEN', `this needs the role ${roles.join(' or ')}`, { role: roles[0] ?? '' });

function refused(rejected: ComplianceRejectionCode, message: string, details?: { readonly [key: string]: Json }): Refusal {
  return { rejected, message, ...(details !== undefined && { details }) };
}
