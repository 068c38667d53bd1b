import { errorText, FabulaError } from '#lib/platform';
import { playthroughStream, stateFromJson } from '#lib/playthrough';
import { decodePosition } from '#lib/projections';
import type { Caller } from '../http/auth.js';
import type { FabulaNode } from '../node.js';
import { within } from '../within.js';
import { PlaythroughView } from './playthrough-view.js';

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const MAX_POSITIONS = 64;
/** A playthrough that is in memory is shown from there when the read models say nothing for so long. */
const MEMORY_WAITS_MS = 1_000;

/**
 * One of the caller's own playthroughs, from the read models; while they cannot be reached, from memory if this process has it hot.
 * Undefined for an unknown id and for somebody else's.
 * @throws FabulaError PLAYTHROUGH_PARKED
 */
export async function findPlaythrough(node: FabulaNode, caller: Caller, id: string): Promise<PlaythroughView | undefined> {
  if (!UUID.test(id)) return undefined;
  const wanted = id.toLowerCase();
  let found;
  try {
    const reading = node.reads.playthrough(wanted);
    found = node.hot(wanted) === undefined ? await reading : await within(reading, MEMORY_WAITS_MS);
    if (found === 'late') throw new Error(`the read models did not answer within ${MEMORY_WAITS_MS} ms`);
  } catch (error) {
    const hot = node.hot(wanted);
    if (hot === undefined) throw new FabulaError('NOT_YET_VISIBLE', 'The read models cannot be reached.', { cause: error });
    node.logger.debug({ error: errorText(error) }, 'answered from memory');
    return hot.reader === caller.actor ? PlaythroughView.of(node, hot, node.partitionOf(playthroughStream(hot.id)), 0) : undefined;
  }
  const { value, asOf } = found;
  if (value === undefined || value.reader !== caller.actor) return undefined;
  if (value.parked !== null) throw new FabulaError('PLAYTHROUGH_PARKED');
  const position = asOf.partitions.find(({ partition }) => partition === value.partition);
  return PlaythroughView.of(node, stateFromJson(value.state), value.partition, (position?.nextOffset ?? 1) - 1, value.startedAt);
}

/**
 * Waits until the read models hold what the log holds of a playthrough now, at most 2 s: only then is one that is not in them not there.
 * @throws FabulaError NOT_YET_VISIBLE
 */
export async function untilAllVisible(node: FabulaNode, id: string): Promise<void> {
  const partition = node.partitionOf(playthroughStream(id));
  const end = await node.log.end(partition);
  if (end > 0) await untilVisible(node, [node.positionToken(partition, end - 1)]);
}

/**
 * Waits until the read models hold everything up to these positions, at most 2 s.
 * @throws FabulaError BAD_INPUT, NOT_YET_VISIBLE
 */
export async function untilVisible(node: FabulaNode, tokens: readonly string[] | null | undefined): Promise<void> {
  if (tokens == null || tokens.length === 0) return;
  if (tokens.length > MAX_POSITIONS) throw new FabulaError('BAD_INPUT', `at most ${MAX_POSITIONS} positions`);
  await Promise.all(
    tokens.map(async (token) => {
      const position = decodePosition(token);
      if (position === undefined)
        throw new FabulaError('BAD_INPUT', 'minPosition is not a position of this API', { details: { field: 'minPosition' } });
      switch (await node.waiter.waitFor(position)) {
        case 'visible':
          return;
        case 'not-yet-visible':
          throw new FabulaError('NOT_YET_VISIBLE');
        default:
          throw new FabulaError('BAD_INPUT', 'minPosition belongs to another log', { details: { field: 'minPosition' } });
      }
    }),
  );
}
