import { canonicalJson, sha256Hex } from '#lib/canonical';
import {
  compliance,
  COMPLIANCE_STREAM,
  complianceEvents,
  complianceStateFromJson,
  complianceStateToJson,
  type ComplianceEvent,
  type ComplianceState,
} from '#lib/compliance';
import type { DecisionRecord } from '#lib/decision';
import type { ComplianceActionRow, ComplianceEventRow, ComplianceHoldRow } from './read-model.js';
import { StateDiffers, type StreamKind } from './stream-kind.js';

/** Actions, holds and the history of `compliance/main`. */
export const complianceKind: StreamKind<ComplianceState> = {
  catalogue: complianceEvents,
  stateFromJson: complianceStateFromJson,
  fold(before, record, recorded, offset) {
    if (record.stream !== COMPLIANCE_STREAM) throw new StateDiffers(`there is one compliance stream, ${COMPLIANCE_STREAM}`);
    const events = recorded as unknown as readonly ComplianceEvent[];
    const after = events.reduce<ComplianceState | null>((state, event) => compliance.evolve(state, event), before);
    if (after === null) throw new StateDiffers('a record without events');
    const json = complianceStateToJson(after);
    if (sha256Hex(json) !== events.at(-1)?.stateHash) throw new StateDiffers('the state after the last event is not the recorded one');
    const history = events.map((event, i) => historyRow(record, event, record.expectedVersion + i + 1, offset));
    const actions = events.flatMap(actionRow);
    const holds = events.flatMap(holdRow);
    return {
      after,
      json,
      keep(rows) {
        for (const row of history) rows.complianceEvent(row);
        for (const row of actions) rows.complianceAction(row);
        for (const row of holds) rows.complianceHold(row);
      },
    };
  },
};

function historyRow(
  { actor, correlationId }: DecisionRecord,
  event: ComplianceEvent,
  sequence: number,
  offset: number,
): ComplianceEventRow {
  const { at, type } = event;
  const subject = event.type === 'ActionProposed' ? event.action.id : event.id;
  return { sequence, offset, at, type, subject, actor: actor.id, role: actor.role, correlationId, event: canonicalJson(event) };
}

const UNCHANGED = {
  kind: null,
  action: null,
  reason: null,
  proposedBy: null,
  proposedAs: null,
  proposedAt: null,
  expiresAt: null,
  decidedBy: null,
  decidedAs: null,
  decidedAt: null,
  refusal: null,
  begunAt: null,
  endedAt: null,
  result: null,
} as const;

function actionRow(event: ComplianceEvent): readonly ComplianceActionRow[] {
  switch (event.type) {
    case 'ActionProposed': {
      const { action, by, role, at, reason, expiresAt } = event;
      const proposal = { proposedBy: by, proposedAs: role, proposedAt: at, expiresAt, reason };
      return [{ ...UNCHANGED, id: action.id, stage: 'proposed', kind: action.kind, action: canonicalJson(action), ...proposal }];
    }
    case 'ActionApproved':
      return [{ ...UNCHANGED, id: event.id, stage: 'approved', ...decision(event) }];
    case 'ActionRefused':
      return [{ ...UNCHANGED, id: event.id, stage: 'refused', ...decision(event), refusal: event.reason, endedAt: event.at }];
    case 'ActionWithdrawn':
      return [{ ...UNCHANGED, id: event.id, stage: 'withdrawn', ...decision(event), endedAt: event.at }];
    case 'ActionExpired':
      return [{ ...UNCHANGED, id: event.id, stage: 'expired', endedAt: event.at }];
    case 'ActionBegun':
      return [{ ...UNCHANGED, id: event.id, stage: 'begun', begunAt: event.at }];
    case 'ActionCarriedOut':
      return [{ ...UNCHANGED, id: event.id, stage: 'carried-out', endedAt: event.at, result: canonicalJson(event.result) }];
    default:
      return [];
  }
}

const decision = ({ by, role, at }: { readonly by: string; readonly role: string; readonly at: number }) => ({
  decidedBy: by,
  decidedAs: role,
  decidedAt: at,
});

function holdRow(event: ComplianceEvent): readonly ComplianceHoldRow[] {
  if (event.type === 'HoldPlaced') {
    const { id, scope, matter, by, at, until } = event;
    return [
      { id, scopeKind: scope.kind, scopeId: scope.id, matter, placedBy: by, placedAt: at, until, releasedAt: null, releasedBy: null },
    ];
  }
  if (event.type !== 'HoldReleased') return [];
  const { id, at, action } = event;
  const placed = { scopeKind: null, scopeId: null, matter: null, placedBy: null, placedAt: null, until: null };
  return [{ id, ...placed, releasedAt: at, releasedBy: action }];
}
