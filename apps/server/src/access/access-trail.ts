import type { AccessEvent, AccessTarget } from '#lib/audit';

/** When an access is told: before its answer leaves, counted up per minute, or once per person and ten minutes and counted from then on. */
export type Telling = 'before-answer' | 'counted' | 'once';

/** What a route says of being called, beside who may call it. */
export interface AccessRule {
  readonly event: AccessEvent;
  readonly telling: Telling;
}

/** What is known of one request for the access log. Whoever handles the request fills in what only it knows. */
export interface AccessTrail {
  /** The route's declaration, once the request has come to its guard. */
  rule?: AccessRule | 'public';
  /** Instead of method and route: kind and fields of a GraphQL operation. */
  action?: string;
  target?: AccessTarget;
  /** The stream that is looked at. */
  stream?: string;
  /** Code of the error that is answered. */
  outcome?: string;
  /** A GraphQL document that only sends commands: those are in the event log. */
  commands?: boolean;
}
