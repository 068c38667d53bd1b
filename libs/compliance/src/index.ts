export {
  ACTION_KINDS,
  actionShapes,
  approvers,
  destroys,
  isActionKind,
  proposers,
  targetOf,
  type Action,
  type ActionKind,
  type Asked,
  type EraseAction,
  type PruneAction,
  type ReleaseHoldAction,
  type Role,
  type RotateKekAction,
  type RotateSigningKeyAction,
  type SetRetentionAction,
} from './action.js';
export { compliance } from './compliance.js';
export { complianceShapes } from './compliance-shapes.js';
export {
  applyRecordedCompliance,
  BrokenComplianceFold,
  complianceEvents,
  complianceStateFromJson,
  complianceStateHash,
  complianceStateToJson,
} from './compliance-state.js';
export * from './compliance-stream.js';
export { activeHolds, holdAgainst, ownProposal } from './holds.js';
export { derivedId } from './ids.js';
export { RETENTION_CLASSES, retentionClass, retentionOf, type RetentionClass, type RetentionName } from './retention.js';
