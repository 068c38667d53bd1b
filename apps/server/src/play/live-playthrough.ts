import type { Change } from '#lib/engine';
import { FabulaError } from '#lib/platform';
import { playthroughStream, type PlaythroughState } from '#lib/playthrough';
import { requireRole, type Caller, type RequestContext } from '../http/auth.js';
import { asFabulaError } from '../http/problem.js';
import type { FabulaNode } from '../node.js';
import { findPlaythrough, untilAllVisible, UUID } from './find-playthrough.js';
import { PlaythroughView } from './playthrough-view.js';

/** After an outage it is tried again so often. */
const TRY_AGAIN_MS = 500;

/**
 * A reader who has just started a playthrough follows it before the read models hold it: so nobody is told that it is not there until
 * they have reached what the log held when they asked.
 * @throws FabulaError NOT_YET_VISIBLE
 */
async function findJustStarted(node: FabulaNode, caller: Caller, id: string): Promise<PlaythroughView | undefined> {
  if (!UUID.test(id)) return undefined;
  await untilAllVisible(node, id.toLowerCase());
  return findPlaythrough(node, caller, id);
}

/**
 * The playthrough as it is, then after each change, newest state only: a slow reader skips states between. Changes decided in this process
 * arrive at once; those of other processes with the next look at the read models. Outages of the database are waited out.
 * @throws FabulaError PLAYTHROUGH_NOT_FOUND
 */
export async function* followPlaythrough(
  node: FabulaNode,
  context: RequestContext,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<PlaythroughView> {
  const caller = requireRole(context.caller, 'reader', 'author');
  let wake: () => void = () => undefined;
  let newest: Change | undefined;
  let changedElsewhere = false;
  const followed = id.toLowerCase();
  const stream = playthroughStream(followed);
  const ends = [
    node.metrics.subscribed(),
    node.onChanged((change) => {
      if (change.stream !== stream) return;
      newest = change;
      wake();
    }),
    node.watch.follow(followed, () => {
      changedElsewhere = true;
      wake();
    }),
  ];
  /** Until there is news, or `ms` have passed. */
  const news = (ms?: number): Promise<void> =>
    new Promise((resolve) => {
      // Taken off again each time: a subscription may last for days, and its signal with it.
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(done, ms).unref();
      signal.addEventListener('abort', done, { once: true });
      wake = ms === undefined ? done : () => undefined;
    });
  try {
    const first = (await findPlaythrough(node, caller, id)) ?? (await findJustStarted(node, caller, id));
    if (first === undefined) throw new FabulaError('PLAYTHROUGH_NOT_FOUND', 'There is no such playthrough of yours.');
    yield first;
    let shown = first;
    while (!signal.aborted) {
      if (newest === undefined && !changedElsewhere) await news();
      if (signal.aborted) return;
      const change: Change | undefined = newest;
      newest = undefined;
      changedElsewhere = false;
      let found: PlaythroughView | undefined;
      try {
        found =
          change === undefined
            ? await findPlaythrough(node, caller, id)
            : await PlaythroughView.of(node, change.state as PlaythroughState, change.partition, change.offset);
      } catch (error) {
        if (asFabulaError(error, 'to read').code !== 'NOT_YET_VISIBLE') throw error;
        newest ??= change;
        changedElsewhere = true;
        await news(TRY_AGAIN_MS);
        continue;
      }
      if (found === undefined || found.seen.asOf < shown.seen.asOf || found.stateHash === shown.stateHash) continue;
      shown = found;
      yield found;
    }
  } finally {
    for (const end of ends) end();
  }
}
