import { FabulaError, type ErrorCode } from '#lib/platform';

/** Pause that callers are asked to make before they send the same command, with the same id, again. */
const RETRY_AFTER_MS: { readonly [code in ErrorCode]?: number } = {
  LOG_UNAVAILABLE: 1_000,
  OUTCOME_UNKNOWN: 500,
  OVERLOADED: 200,
  NOT_YET_VISIBLE: 200,
};

/**
 * Why a command got no decision. Sending it again with the same commandId is safe whatever the code: it takes effect at most once.
 */
export class EngineFailure extends FabulaError {
  constructor(code: ErrorCode, message: string, options: { readonly cause?: unknown; readonly details?: FabulaError['details'] } = {}) {
    const retryAfterMs = RETRY_AFTER_MS[code];
    super(code, message, { ...options, ...(retryAfterMs !== undefined && { retryAfterMs }) });
  }
}

/** The partition belongs to another node; forwarding follows the owner. Nothing was decided here. */
export class NotOwner extends EngineFailure {
  constructor(message: string) {
    super('OVERLOADED', message);
  }
}

export const commandReused = (): EngineFailure => new EngineFailure('COMMAND_REUSED', 'this commandId was used for another command');

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
