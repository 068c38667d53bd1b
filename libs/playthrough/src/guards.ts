import type { CompiledExpression, Scope } from '#lib/story';

/** Longest guard text kept in an event, so that hostile stories cannot fill records with it. */
const MAX_FAILED = 200;

/**
 * Whether a guard holds; otherwise the text of the part that failed. A guard that cannot be evaluated (overflow, division by zero) does not
 * hold, and says so: a reader must not be stuck because of it, nor let through.
 */
export function holds(guard: CompiledExpression<boolean>, scope: Scope): true | string {
  try {
    if (guard.evaluate(scope)) return true;
    return cut(guard.failing(scope) ?? guard.text);
  } catch (error) {
    return cut(`${guard.text}: ${messageOf(error)}`);
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function cut(text: string): string {
  // Cutting between surrogates would leave half a character, which has no canonical form.
  return text.length <= MAX_FAILED ? text : `${text.slice(0, MAX_FAILED - 1).toWellFormed()}…`;
}
