import { canonicalJson } from '#lib/canonical';
import { isRejection, type RecordedEvent, type Rejection } from '#lib/decision';
import type { Asked, Role } from '../action.js';
import { compliance } from '../compliance.js';
import { applyRecordedCompliance } from '../compliance-state.js';
import type { ComplianceCommand, ComplianceEvent, ComplianceState, HoldScope } from '../compliance-stream.js';
import { derivedId } from '../ids.js';

const HOUR = 3_600_000;
export type Who = readonly [id: string, role: Role];
export const DPO: Who = ['r-dora', 'dpo'];
export const OTHER_DPO: Who = ['r-otto', 'dpo'];
export const ADMIN: Who = ['r-ada', 'admin'];
export const COMPLIANCE: Who = ['r-cleo', 'compliance'];
export const OPERATOR: Who = ['r-olaf', 'operator'];
export const SYSTEM: Who = ['compliance', 'system'];

/** The compliance stream with people around it: decides, and folds what was recorded as any reader does. */
export class Office {
  state: ComplianceState | null = null;
  now = 1_000_000;
  readonly events: ComplianceEvent[] = [];
  private commands = 0;

  decide([id, role]: Who, command: ComplianceCommand): readonly ComplianceEvent[] | Rejection {
    return compliance.decide(command, this.state, { now: this.now, actor: { id, role } });
  }
  /** @throws Error with the code of the rejection */
  send(who: Who, command: ComplianceCommand): readonly ComplianceEvent[] {
    const decision = this.decide(who, command);
    if (isRejection(decision)) throw new Error(`${decision.rejected}: ${decision.message}`);
    for (const event of decision) {
      this.state = applyRecordedCompliance(this.state, JSON.parse(canonicalJson(event)) as RecordedEvent);
      this.events.push(event);
    }
    return decision;
  }
  code(who: Who, command: ComplianceCommand): string | undefined {
    const decision = this.decide(who, command);
    return isRejection(decision) ? decision.rejected : undefined;
  }

  newId(letter: 'a' | 'h' | 'g'): string {
    return derivedId(letter, 'r-test', `c:${++this.commands}`);
  }
  proposal(asked: Asked, expiresAt = this.now + HOUR): Extract<ComplianceCommand, { type: 'propose' }> {
    return { type: 'propose', action: { ...asked, id: this.newId('a') }, reason: 'because', expiresAt };
  }
  propose(who: Who, asked: Asked, expiresAt?: number): string {
    const command = this.proposal(asked, expiresAt);
    this.send(who, command);
    return command.action.id;
  }
  hold(scope: HoldScope, until: number | null = null): string {
    const id = this.newId('h');
    this.send(DPO, { type: 'placeHold', id, matter: 'case 12', scope, until });
    return id;
  }
  get placed(): number {
    return this.state?.placed ?? 0;
  }
}

export const erase = (subject: string): Asked => ({ kind: 'erase', subject, legalBasis: 'GDPR 17(1)(b)' });
export const everything: HoldScope = { kind: 'everything', id: '*' };
