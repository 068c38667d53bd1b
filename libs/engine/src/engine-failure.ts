import { FabulaError, type ErrorCode, type ErrorOptions, type Ids } from '#lib/platform';

/** Pause that callers are asked to make before they send the same command, with the same id, again. */
const RETRY_AFTER_MS: { readonly [code in ErrorCode]?: number } = {
  LOG_UNAVAILABLE: 1_000,
  OUTCOME_UNKNOWN: 500,
  OVERLOADED: 200,
  RATE_LIMITED: 500,
  NOT_YET_VISIBLE: 200,
  CLOCK_WRONG: 60_000,
};

/**
 * Why a command got no decision. Sending it again with the same commandId is safe whatever the code: it takes effect at most once.
 */
export class EngineFailure extends FabulaError {
  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    const retryAfterMs = RETRY_AFTER_MS[code];
    super(code, message, { retryAfterMs, ...options });
  }

  /** The same failure with a pause of one to two times as long: callers refused together must not come back together. */
  spread(ids: Ids): EngineFailure {
    if (this.retryAfterMs === undefined) return this;
    const pause = this.retryAfterMs + (Number.parseInt(ids.hex(2), 16) % this.retryAfterMs);
    const { code, message, details, cause } = this;
    return new EngineFailure(code, message, { cause, details, retryAfterMs: pause });
  }
}

/** The partition belongs to another node; forwarding follows the owner. Nothing was decided here. */
export class NotOwner extends EngineFailure {
  constructor(message: string) {
    super('OVERLOADED', message);
  }
}

export const logDown = (): EngineFailure =>
  new EngineFailure('LOG_UNAVAILABLE', 'the log takes nothing at present; this attempt had no effect');

export const outcomeUnknown = (): EngineFailure =>
  new EngineFailure('OUTCOME_UNKNOWN', 'the log has not confirmed this command in time; send it again with the same commandId');

export const commandReused = (): EngineFailure => new EngineFailure('COMMAND_REUSED', 'this commandId was used for another command');

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
