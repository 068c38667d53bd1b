import type { CommandOutcome } from '#lib/engine';
import { FabulaError, isErrorCode } from '#lib/platform';
import type { PlaythroughState } from '#lib/playthrough';
import type { CompiledStory } from '#lib/story';
import type { Caller } from '../http/auth.js';
import { momentView } from './moment-view.js';

type Rejected = Extract<CommandOutcome, { kind: 'rejected' }>;

/** The error a caller gets for a rejection; a stale reader is shown where the playthrough stands now. */
export async function rejectionError(
  { code, message, details, state }: Rejected,
  caller: Caller,
  content: (versionHash: string) => Promise<CompiledStory>,
): Promise<FabulaError> {
  if (!isErrorCode(code)) return new FabulaError('INTERNAL', `a command was rejected with the unknown code ${code}`);
  let now: Record<string, unknown> = {};
  if (code === 'TURN_STALE' && isPlaythrough(state) && state.reader === caller.actor) {
    const { deadline, ...moment } = momentView(await content(state.versionHash), state);
    now = {
      turn: state.turn,
      status: state.status === 'ended' ? 'ENDED' : 'ACTIVE',
      moment: { ...moment, deadline: deadline === null ? null : new Date(deadline).toISOString() },
    };
  }
  return new FabulaError(code, message, { details: { ...details, ...now } });
}

export function isPlaythrough(state: unknown): state is PlaythroughState {
  return typeof state === 'object' && state !== null && 'narrative' in state;
}
