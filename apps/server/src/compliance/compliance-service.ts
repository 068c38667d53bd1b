import type { Json } from '#lib/canonical';
import {
  approvers,
  COMPLIANCE_STREAM,
  derivedId,
  proposers,
  type Action,
  type ActionKind,
  type Asked,
  type ComplianceCommand,
  type ComplianceState,
  type HoldScope,
  type Role,
} from '#lib/compliance';
import type { Actor } from '#lib/decision';
import type { CommandOutcome, CommandRequest } from '#lib/engine';
import type { LogId } from '#lib/log';
import { FabulaError, isErrorCode, systemIds, type UserRole } from '#lib/platform';
import { encodePosition, type ComplianceActionRow, type ComplianceReads, type PositionWaiter } from '#lib/projections';
import type { Caller, Origin } from '../http/auth.js';
import { beforeItsEffect } from '../http/database-outage.js';
import { BreakGlass } from './break-glass.js';

export const STAFF = ['dpo', 'admin', 'compliance', 'operator'] as const satisfies readonly UserRole[];
const PLACE_HOLD: readonly Role[] = ['dpo'];
const BREAK_GLASS: readonly Role[] = ['operator', 'admin'];
const MINUTE = 60_000;

interface ServiceHost {
  readonly logId: LogId;
  readonly waiter: PositionWaiter;
  readonly reads: ComplianceReads;
  readonly now: () => number;
  readonly alarm: (message: string) => void;
  /** Why such an action cannot be carried out whoever approves it; null: it can. */
  refusal(asked: Asked): Promise<string | FabulaError | null>;
  /** Whether the person behind that pseudonym was forgotten: a token may stand for it here a moment longer. */
  forgotten(actor: string): Promise<boolean>;
  execute(request: CommandRequest): Promise<CommandOutcome>;
}

/** Who asks, and with what: `commandId` (a UUID of the caller) makes it safe to send again. */
export interface Asking {
  readonly caller: Caller;
  readonly origin: Origin;
  readonly commandId?: string | undefined;
}
export interface Done {
  readonly id: string;
  readonly position: string;
  readonly duplicate: boolean;
}

export const SYSTEM: Actor = { id: 'compliance', role: 'system' };

/** Commands of the stream `compliance/main` as people give them; each ends when everybody can read its effect. */
export class ComplianceService {
  readonly breakGlass: BreakGlass;

  constructor(private readonly host: ServiceHost) {
    this.breakGlass = new BreakGlass(() => host.reads.state());
  }

  /** @throws FabulaError BAD_INPUT for what could not be carried out; with the code of the rejection */
  async propose(
    asking: Asking,
    { asked, reason, minutes }: { readonly asked: Asked; readonly reason: string; readonly minutes: number },
  ): Promise<Done> {
    actingAs(asking.caller, proposers(asked.kind));
    const commandId = commandIdOf(asking);
    const id = derivedId('a', asking.caller.actor, commandId);
    const refusal = await this.host.refusal(asked);
    // Sent again, it may meet what came of it: that is no reason to refuse what was taken.
    if (refusal !== null && (await this.host.reads.action(id)).value === undefined) throw refused(refusal);
    const action = { ...asked, id } as Action;
    const expiresAt = this.host.now() + minutes * MINUTE;
    // Not the time it ends, which another try would reckon anew.
    const digest = { type: 'propose', action, reason, minutes };
    return this.byPerson(asking, proposers(asked.kind), id, commandId, { type: 'propose', action, reason, expiresAt }, digest);
  }

  async approve(asking: Asking, id: string): Promise<Done> {
    const may = await this.approversOf(id);
    actingAs(asking.caller, may);
    const { value } = await this.host.reads.action(id);
    const action = value?.stage === 'proposed' ? actionOf(value) : null;
    // What nothing can carry out any more, or never could, nobody has to answer for.
    const refusal = action === null ? null : await this.host.refusal(action);
    if (refusal !== null) throw refused(refusal);
    return this.byPerson(asking, may, id, commandIdOf(asking), { type: 'approve', id });
  }
  async refuse(asking: Asking, id: string, reason: string): Promise<Done> {
    return this.byPerson(asking, await this.approversOf(id), id, commandIdOf(asking), { type: 'refuse', id, reason });
  }
  withdraw(asking: Asking, id: string): Promise<Done> {
    return this.byPerson(asking, STAFF, id, commandIdOf(asking), { type: 'withdraw', id });
  }

  /** `underWay`: actions that had begun before the hold was placed, and that it may come too late for. */
  async placeHold(
    asking: Asking,
    { scope, matter, until }: { readonly scope: HoldScope; readonly matter: string; readonly until: number | null },
  ): Promise<Done & { readonly underWay: readonly string[] }> {
    const commandId = commandIdOf(asking);
    const id = derivedId('h', asking.caller.actor, commandId);
    const { done, state } = await this.command(actingAs(asking.caller, PLACE_HOLD), asking.origin, id, commandId, {
      type: 'placeHold',
      id,
      matter,
      scope,
      until,
    });
    const underWay = state.actions.filter(({ stage }) => stage === 'begun').map((action) => action.id);
    return { ...done, underWay };
  }

  async breakTheGlass(
    asking: Asking,
    { reason, minutes }: { readonly reason: string; readonly minutes: number },
  ): Promise<Done & { readonly until: number }> {
    const commandId = commandIdOf(asking);
    const id = derivedId('g', asking.caller.actor, commandId);
    const { correlationId } = asking.origin;
    const until = this.host.now() + minutes * MINUTE;
    const command = { type: 'breakGlass', id, reason, until, correlationId } as const;
    const actor = actingAs(asking.caller, BREAK_GLASS);
    const { done, state } = await this.command(actor, asking.origin, id, commandId, command, { type: 'breakGlass', reason, minutes });
    this.breakGlass.changed();
    if (!done.duplicate)
      this.host.alarm(`${actor.id} (${actor.role}) broke the glass for ${minutes} minutes: ${id}, correlation id ${correlationId}`);
    return { ...done, until: state.glasses.find((glass) => glass.id === id)?.until ?? until };
  }

  async closeGlass(asking: Asking, id: string): Promise<Done> {
    const done = await this.byPerson(asking, STAFF, id, commandIdOf(asking), { type: 'closeGlass', id });
    this.breakGlass.changed();
    return done;
  }

  /**
   * A command of the system, with an id derived from what it is about.
   * @throws FabulaError with the code of the rejection
   */
  async bySystem(
    command: Extract<ComplianceCommand, { type: 'begin' | 'carriedOut' | 'expire' | 'logBase' }>,
    causationId: string,
  ): Promise<void> {
    if (command.type === 'logBase') return this.baseTaken(command, causationId);
    const name = command.type === 'carriedOut' ? 'carried-out' : command.type;
    const origin = { correlationId: causationId };
    // What was judged and what came of it may differ when it is sent again: it is the same command all the same.
    const digest = { type: command.type, id: command.id };
    await this.command(SYSTEM, origin, command.id, `s:${name}:${command.id}`, command, digest, causationId);
  }

  /** Once for each digest: one that is taken anew by a newer build is another one. */
  private async baseTaken(command: Extract<ComplianceCommand, { type: 'logBase' }>, causationId: string): Promise<void> {
    const { id, partition, digest } = command;
    const commandId = `s:log-base:${id}:${partition}:${digest.slice(0, 16)}`;
    await this.command(SYSTEM, { correlationId: causationId }, id, commandId, command, { ...command }, causationId);
  }

  private async byPerson(
    { caller, origin }: Asking,
    may: readonly Role[],
    id: string,
    commandId: string,
    command: ComplianceCommand,
    digest: Json = { ...command } as Json,
  ): Promise<Done> {
    return (await this.command(actingAs(caller, may), origin, id, commandId, command, digest)).done;
  }

  private async approversOf(id: string): Promise<readonly Role[]> {
    const { value } = await this.host.reads.action(id);
    if (value === undefined) throw new FabulaError('ACTION_NOT_FOUND');
    return approvers(value.kind as ActionKind, value.proposedAs as Role);
  }

  private async command(
    actor: Actor,
    origin: Origin,
    id: string,
    commandId: string,
    command: ComplianceCommand,
    digest: Json = { ...command } as Json,
    causationId: string | null = null,
  ): Promise<{ readonly done: Done; readonly state: ComplianceState }> {
    if (actor.role !== 'system' && (await beforeItsEffect(this.host.forgotten(actor.id))))
      throw new FabulaError(
        'UNAUTHENTICATED',
        'Who this token stood for was forgotten; it stands for somebody new from the next request on.',
      );
    const outcome = await this.host.execute({
      stream: COMPLIANCE_STREAM,
      commandId,
      digestInput: digest,
      command,
      actor,
      correlationId: origin.correlationId,
      causationId,
      ...(origin.trace !== undefined && { headers: origin.trace }),
    });
    if (outcome.kind === 'rejected') {
      const code = isErrorCode(outcome.code) ? outcome.code : 'INTERNAL';
      throw new FabulaError(code, outcome.message, { details: { ...outcome.details } });
    }
    const { partition, offset, duplicate } = outcome;
    const position = { logId: this.host.logId, partition, offset };
    if (offset >= 0) await this.host.waiter.waitFor(position);
    return { done: { id, position: encodePosition(position), duplicate }, state: outcome.state as ComplianceState };
  }
}

/** In the first of the roles that suffice and that the caller has. @throws FabulaError FORBIDDEN */
function actingAs({ actor, roles }: Caller, may: readonly Role[]): Actor {
  const role = may.find((one) => (roles as ReadonlySet<string>).has(one));
  if (role === undefined) throw new FabulaError('FORBIDDEN', `This needs the role ${may.join(' or ')}.`, { details: { role: may[0] } });
  return { id: actor, role };
}

const refused = (refusal: string | FabulaError): FabulaError =>
  typeof refusal === 'string' ? new FabulaError('BAD_INPUT', refusal, { details: { field: 'action' } }) : refusal;

const commandIdOf = ({ commandId }: Asking): string => `c:${(commandId ?? systemIds.uuid()).toLowerCase()}`;

/** What is stored as JSON, read. */
export function actionOf(row: ComplianceActionRow): Action | null {
  return row.action === null ? null : (JSON.parse(row.action) as Action);
}
