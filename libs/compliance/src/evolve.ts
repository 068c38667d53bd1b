import { canonicalJson, sha256Hex } from '#lib/canonical';
import { targetOf } from './action.js';
import type { ComplianceEvent, ComplianceState, LogBaseTaken, OpenAction } from './compliance-stream.js';

/** The state after an event; total: an event that cannot follow leaves it as it is, but for its time. */
export function evolve(state: ComplianceState | null, event: ComplianceEvent): ComplianceState {
  const before: ComplianceState = { ...(state ?? { actions: [], glasses: [], holds: [], placed: 0 }), lastAt: event.at };
  switch (event.type) {
    case 'ActionProposed': {
      const { action, by, role, expiresAt } = event;
      const open: OpenAction = { by, expiresAt, id: action.id, kind: action.kind, role, stage: 'proposed', target: targetOf(action) };
      return { ...before, actions: [...before.actions, open] };
    }
    case 'ActionApproved':
      return staged(before, event.id, 'approved');
    case 'ActionBegun':
      return staged(before, event.id, 'begun');
    case 'ActionRefused':
    case 'ActionWithdrawn':
    case 'ActionExpired':
    case 'ActionCarriedOut':
      return { ...before, actions: before.actions.filter(({ id }) => id !== event.id) };
    case 'LogBaseTaken':
      return { ...before, bases: chained(before.bases, event) };
    case 'HoldPlaced':
      return {
        ...before,
        holds: [...before.holds, { id: event.id, scope: event.scope, until: event.until }],
        placed: before.placed + 1,
      };
    case 'HoldReleased':
      return { ...before, holds: before.holds.filter(({ id }) => id !== event.id) };
    case 'BreakGlassOpened':
      return {
        ...before,
        glasses: [...before.glasses, { by: event.by, correlationId: event.correlationId, id: event.id, until: event.until }],
      };
    case 'BreakGlassClosed':
      return { ...before, glasses: before.glasses.filter(({ id }) => id !== event.id) };
  }
}

function chained(before: string | undefined, { partition, offset, digest }: LogBaseTaken): string {
  return sha256Hex(canonicalJson([before ?? null, partition, offset, digest]));
}

function staged(state: ComplianceState, id: string, stage: OpenAction['stage']): ComplianceState {
  return { ...state, actions: state.actions.map((action) => (action.id === id ? { ...action, stage } : action)) };
}
