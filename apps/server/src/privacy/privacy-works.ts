import type { ActionWork } from '../compliance/action-work.js';
import type { Privacy } from './privacy.js';

/** Forgets a reader that two people agreed to forget. The result names keys, which are no personal data. */
export const eraseWork = (privacy: Privacy): ActionWork<'erase'> => ({
  kind: 'erase',
  // Before it is proposed: a name in place of the pseudonym would stand in the log for ever.
  refuses: async ({ subject }) => privacy.eraser.refusal(subject),
  carryOut: async ({ subject }) => ({ ...(await privacy.eraser.erase(subject)) }),
  blockedBy: async ({ subject }) => privacy.eraser.refusal(subject) ?? privacy.hindrance(),
});

/** Wraps all keys anew; broken off and taken up again between two batches. */
export const rotateKekWork = ({ rotation }: Privacy): ActionWork<'rotate-kek'> => ({
  kind: 'rotate-kek',
  carryOut: async (action, signal) => ({ ...(await rotation.rotate(action, signal)) }),
  blockedBy: (action) => rotation.refusal(action),
});
