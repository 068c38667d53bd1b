import type { LeavesPruned } from '#lib/audit';
import { FabulaError } from '#lib/platform';

export const prunedError = ({ message, log, base }: LeavesPruned): FabulaError =>
  new FabulaError('LEAVES_PRUNED', message, { details: { log, from: String(base) } });
