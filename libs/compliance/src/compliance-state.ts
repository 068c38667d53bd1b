import { canonicalJson, sha256Hex } from '#lib/canonical';
import { checkedFold, upcast, type EventSchema, type RecordedEvent } from '#lib/decision';
import type { ComplianceEvent, ComplianceState } from './compliance-stream.js';
import { evolve } from './evolve.js';

/** Canonical JSON of a state. */
export const complianceStateToJson = (state: ComplianceState): string => canonicalJson(state);

/** @throws TypeError when the text is not the state of the compliance stream. */
export function complianceStateFromJson(text: string): ComplianceState {
  const state = JSON.parse(text) as Partial<ComplianceState> | null;
  const whole =
    typeof state === 'object' &&
    state !== null &&
    Array.isArray(state.actions) &&
    Array.isArray(state.holds) &&
    Array.isArray(state.glasses) &&
    Number.isSafeInteger(state.placed);
  if (!whole) throw new TypeError('the text is not the state of the compliance stream');
  return state as ComplianceState;
}

export const complianceStateHash = (state: ComplianceState): string => sha256Hex(complianceStateToJson(state));

const TYPES = [
  'ActionProposed',
  'ActionApproved',
  'ActionRefused',
  'ActionWithdrawn',
  'ActionExpired',
  'ActionBegun',
  'ActionCarriedOut',
  'LogBaseTaken',
  'HoldPlaced',
  'HoldReleased',
  'BreakGlassOpened',
  'BreakGlassClosed',
] satisfies ComplianceEvent['type'][];

/** Every event type of the compliance stream with its current version and how older ones are brought there. */
export const complianceEvents: ReadonlyMap<string, EventSchema> = new Map(TYPES.map((type) => [type, { version: 1, upcasters: [] }]));

/** A recorded event does not lead to the state that was recorded with it. */
export class BrokenComplianceFold extends Error {
  override readonly name = 'BrokenComplianceFold';
}

/**
 * Folds a recorded event, and checks that the result is what the event says.
 * @throws UnknownEvent for a type or version of a newer Fabula; BrokenComplianceFold when the state hash differs or the event cannot be folded.
 */
export function applyRecordedCompliance(
  state: ComplianceState | null,
  recorded: RecordedEvent,
  catalogue: ReadonlyMap<string, EventSchema> = complianceEvents,
): ComplianceState {
  const event = upcast(recorded, catalogue) as unknown as ComplianceEvent;
  return checkedFold(
    event.stateHash,
    () => evolve(state, event),
    complianceStateHash,
    (what) => new BrokenComplianceFold(`${event.type} ${what}`),
  );
}
