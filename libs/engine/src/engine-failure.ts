/** Why a command got no decision. Stable codes of the error catalogue; `NOT_OWNER` never leaves the engine (forwarding follows the owner). */
export type EngineFailureCode =
  | 'BAD_INPUT'
  | 'LOG_UNAVAILABLE'
  | 'OUTCOME_UNKNOWN'
  | 'OVERLOADED'
  | 'NOT_YET_VISIBLE'
  | 'PLAYTHROUGH_PARKED'
  | 'COMMAND_REUSED'
  | 'VERSION_NOT_FOUND'
  | 'TOO_LARGE'
  | 'NOT_OWNER'
  | 'INTERNAL';

/** After these the same command with the same id may be sent again: it takes effect at most once whatever became of the first try. */
const RETRY_AFTER_MS: Partial<Record<EngineFailureCode, number>> = {
  LOG_UNAVAILABLE: 1_000,
  OUTCOME_UNKNOWN: 500,
  OVERLOADED: 200,
  NOT_YET_VISIBLE: 200,
  NOT_OWNER: 50,
};

export class EngineFailure extends Error {
  override readonly name = 'EngineFailure';
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly code: EngineFailureCode,
    message: string,
    options?: { readonly cause?: unknown; readonly retryable?: boolean },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.retryable = options?.retryable ?? code in RETRY_AFTER_MS;
    this.retryAfterMs = this.retryable ? RETRY_AFTER_MS[code] : undefined;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
