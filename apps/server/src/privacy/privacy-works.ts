import { FabulaError } from '#lib/platform';
import type { ActionWork } from '../compliance/action-work.js';
import type { Privacy } from './privacy.js';

/**
 * Forgets a reader that two people agreed to forget. The result names keys, which are no personal data.
 * @param plays whether there are playthroughs of a pseudonym
 */
export function eraseWork(privacy: Privacy, plays: (pseudonym: string) => Promise<boolean>): ActionWork<'erase'> {
  const nobody = async (subject: string): Promise<FabulaError | null> =>
    (await privacy.standing(subject)).known || (await plays(subject))
      ? null
      : new FabulaError('SUBJECT_NOT_FOUND', 'Neither a person, nor a key, nor a playthrough has this pseudonym: look it up first.');
  return {
    kind: 'erase',
    // Before it is proposed: a name in place of the pseudonym would stand in the log for ever, and a mistyped one be called forgotten.
    refuses: async ({ subject }) => privacy.eraser.refusal(subject) ?? nobody(subject),
    carryOut: async ({ subject }, _, proceed) => {
      // Half forgotten serves nobody: from its first key on it is ended.
      if (!(await privacy.standing(subject)).begun) await proceed();
      return { ...(await privacy.eraser.erase(subject)) };
    },
    blockedBy: async ({ subject }) => privacy.eraser.refusal(subject) ?? privacy.hindrance() ?? (await nobody(subject))?.message ?? null,
  };
}

/** Wraps all keys anew; broken off and taken up again between two batches. */
export const rotateKekWork = ({ rotation }: Privacy): ActionWork<'rotate-kek'> => ({
  kind: 'rotate-kek',
  carryOut: async (action, signal) => ({ ...(await rotation.rotate(action, signal)) }),
  blockedBy: (action) => rotation.refusal(action),
});
