import type { Pool, PoolClient } from 'pg';
import type { Action, ActionKind, ComplianceState, OpenAction } from '#lib/compliance';
import { errorText, FabulaError, pause, type Clock, type Logger, type Timers } from '#lib/platform';
import type { ComplianceReads } from '#lib/projections';
import { Hindered, type ActionWork, type Proceed } from './action-work.js';
import { actionOf, type ComplianceService } from './compliance-service.js';
import { WorkLedger } from './work-ledger.js';

export interface ExecutorOptions {
  readonly pool: Pool;
  readonly reads: Pick<ComplianceReads, 'state' | 'action'>;
  readonly service: Pick<ComplianceService, 'bySystem'>;
  readonly works: ReadonlyMap<ActionKind, ActionWork>;
  /** Why an approved action does not begin now; null: it may. */
  readonly hindrance: (action: Action, state: ComplianceState) => Promise<string | null>;
  readonly clock: Clock;
  /** Why times cannot be judged here now; null: they can. */
  readonly clockProblem: () => Promise<string | null>;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly alarm: (message: string) => void;
  /** Between two looks; a command of this process is looked at within that time. */
  readonly everyMs?: number;
  /** Pauses between tries of one action: doubled from the first to the last. */
  readonly backoffMs?: readonly [first: number, last: number];
}

/** Any fixed number: one process at a time carries actions out. */
const EXECUTOR_LOCK = '4701231823412331897';
const EVERY_MS = 2_000;
const BACKOFF_MS = [1_000, 300_000] as const;

/**
 * Carries out what two people approved, and ends what time ends. One process at a time (an advisory lock of its own session); every step is
 * idempotent, so that a process that dies anywhere, or loses its lock unawares, leaves nothing half done and nothing done twice:
 *
 * 1. `begin` is decided on the stream: refused while a hold stands against it or when one was placed since holds were judged;
 * 2. the work is done; between its steps it asks whether a hold came meanwhile, and stops where it still can;
 * 3. `carriedOut` is recorded. Dead between 2 and 3: the next one does 2 again, which changes nothing, and records it.
 */
export class ComplianceExecutor {
  private run: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  private readonly ledger: WorkLedger;

  constructor(private readonly options: ExecutorOptions) {
    this.ledger = new WorkLedger(options.pool);
  }

  start(): void {
    const abort = new AbortController();
    this.run ??= { abort, done: this.loop(abort.signal) };
  }

  async stop(): Promise<void> {
    this.run?.abort.abort();
    await this.run?.done;
    this.run = undefined;
  }

  private async loop(signal: AbortSignal): Promise<void> {
    const { timers, logger, everyMs = EVERY_MS } = this.options;
    while (!signal.aborted) {
      try {
        // Asked before anything else, also when there is nothing to do: operators hear of it before it matters.
        if ((await this.options.clockProblem()) === null && (await this.anythingToDo())) await this.whileLocked(signal);
      } catch (error) {
        // Nothing is lost: what is open is looked for again.
        if (!signal.aborted) logger.warn({ error: errorText(error) }, 'actions of compliance cannot be looked at now; tried again');
      }
      await pause(timers, everyMs, signal);
    }
  }

  private async anythingToDo(): Promise<boolean> {
    const state = await this.options.reads.state();
    if (state === null) return false;
    const now = this.options.clock.now();
    return state.actions.some(({ stage }) => stage !== 'proposed') || overIn(state, now).length > 0;
  }

  /** One round, if no other process is at it. */
  private async whileLocked(signal: AbortSignal): Promise<void> {
    const client = await this.options.pool.connect();
    const cut = new AbortController();
    const lost = (): void => cut.abort();
    client.on('error', lost);
    let mine = false;
    try {
      mine = await locked(client);
      if (mine) await this.round(AbortSignal.any([signal, cut.signal]));
    } finally {
      client.off('error', lost);
      // Closed, not given back: its end releases the lock.
      client.release(mine);
    }
  }

  /** One look at everything that is open. */
  async round(signal: AbortSignal): Promise<void> {
    // Holds and terms are reckoned by this process's clock: with a wrong one what is held would look free.
    if ((await this.options.clockProblem()) !== null) return;
    const state = await this.options.reads.state();
    if (state === null) return;
    await this.expire(state);
    const due = await this.ledger.due(
      state.actions.filter(({ stage }) => stage !== 'proposed').map(({ id }) => id),
      this.options.clock.now(),
    );
    for (const action of state.actions) {
      if (signal.aborted) return;
      if (due.has(action.id)) await this.tried(action, state, signal);
    }
  }

  private async expire(state: ComplianceState): Promise<void> {
    for (const id of overIn(state, this.options.clock.now()))
      try {
        await this.options.service.bySystem({ type: 'expire', id }, id);
      } catch (error) {
        // Approved, released or closed in the meantime.
        if (!refusedBy(error, 'CONFLICT')) throw error;
      }
  }

  private async tried(open: OpenAction, state: ComplianceState, signal: AbortSignal): Promise<void> {
    const { alarm, clock, backoffMs = BACKOFF_MS } = this.options;
    try {
      await this.carryOut(open, state, signal);
      await this.ledger.forget(open.id);
    } catch (error) {
      if (signal.aborted) return;
      // No failure: the next look asks again.
      if (error instanceof Hindered) return;
      const attempts = await this.ledger.failed(open.id, errorText(error), clock.now(), backoffMs);
      alarm(`action ${open.id} (${open.kind}) could not be carried out, try ${attempts}: ${errorText(error)}`);
    }
  }

  private async carryOut(open: OpenAction, state: ComplianceState, signal: AbortSignal): Promise<void> {
    const { reads, service, works, hindrance } = this.options;
    const row = (await reads.action(open.id)).value;
    const action = row === undefined ? null : actionOf(row);
    const work = works.get(open.kind);
    if (action === null || work === undefined) return;
    let judged: number | undefined;
    if (open.stage === 'approved') {
      if ((await hindrance(action, state)) !== null) return;
      try {
        await service.bySystem({ type: 'begin', id: open.id, judged: state.placed }, open.id);
      } catch (error) {
        // A hold came, or it was withdrawn: the next look sees it.
        if (refusedBy(error, 'HELD', 'CONFLICT', 'ACTION_NOT_FOUND')) return;
        throw error;
      }
      judged = state.placed;
    }
    const proceed: Proceed = async () => {
      const now = await reads.state();
      if (now === null || now.placed === judged) return;
      const why = await hindrance(action, now);
      if (why !== null) throw new Hindered(why);
      judged = now.placed;
    };
    const result = await work.carryOut(action, signal, proceed);
    await service.bySystem({ type: 'carriedOut', id: open.id, result }, open.id);
  }
}

/** Ids of all that time has ended. */
function overIn(state: ComplianceState, now: number): readonly string[] {
  const over = [
    ...state.actions.filter(({ stage, expiresAt }) => stage === 'proposed' && expiresAt <= now),
    ...state.holds.filter(({ until }) => until !== null && until <= now),
    ...state.glasses.filter(({ until }) => until <= now),
  ];
  return over.map(({ id }) => id);
}

function refusedBy(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof FabulaError && codes.includes(error.code);
}

async function locked(client: PoolClient): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [EXECUTOR_LOCK]);
  return rows[0]?.locked === true;
}
