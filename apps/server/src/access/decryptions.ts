import { AccessNotRecorded, type AccessRecorder } from '#lib/audit';
import { requireRole, type RequestContext } from '../http/auth.js';
import { notRecorded } from './access-hook.js';

/**
 * Tells the access log that sealed fields are about to be opened for somebody else than the one they are sealed for; to be awaited before they are.
 * @param subject pseudonym of the one they are sealed for
 * @throws FabulaError OVERLOADED when it cannot be told: then nothing may be opened
 */
export async function tellDecryption(
  recorder: AccessRecorder,
  { caller, correlationId, access }: RequestContext,
  now: number,
  { subject, fields, purpose }: { readonly subject: string; readonly fields: number; readonly purpose: string },
): Promise<void> {
  const { actor, roles } = requireRole(caller);
  try {
    await recorder.record({
      event: 'sensitive_decrypt',
      at: now,
      actor,
      roles: [...roles],
      action: access.action ?? purpose,
      target: { subject, fields, purpose },
      outcome: 'ok',
      correlationId,
    });
  } catch (error) {
    if (error instanceof AccessNotRecorded) throw notRecorded(false);
    throw error;
  }
}
