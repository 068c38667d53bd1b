import { FabulaError } from '#lib/platform';
import { playthroughStream, type PlaythroughState } from '#lib/playthrough';
import { requireRole, type Caller, type RequestContext } from '../http/auth.js';
import type { FabulaNode } from '../node.js';
import { findPlaythrough, untilAllVisible, UUID } from './find-playthrough.js';
import { PlaythroughView } from './playthrough-view.js';

/** How often a followed playthrough is looked up when no news came: its owner may be another process. */
const LOOK_AGAIN_MS = 500;

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
 * arrive at once; those of other processes with the next look at the read models.
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
  let news: PlaythroughView | undefined;
  let newest: { state: PlaythroughState; partition: number; offset: number } | undefined;
  const stream = playthroughStream(id.toLowerCase());
  const stopCounting = node.metrics.subscribed();
  const stopListening = node.onChanged((change) => {
    if (change.stream !== stream) return;
    newest = { state: change.state as PlaythroughState, partition: change.partition, offset: change.offset };
    wake();
  });
  try {
    const first = (await findPlaythrough(node, caller, id)) ?? (await findJustStarted(node, caller, id));
    if (first === undefined) throw new FabulaError('PLAYTHROUGH_NOT_FOUND', 'There is no such playthrough of yours.');
    yield first;
    let shown = first;
    while (!signal.aborted) {
      if (newest === undefined) {
        await new Promise<void>((resolve) => {
          // Taken off again each time: a subscription may last for days, and its signal with it.
          const done = (): void => {
            clearTimeout(timer);
            signal.removeEventListener('abort', done);
            resolve();
          };
          const timer = setTimeout(done, LOOK_AGAIN_MS).unref();
          signal.addEventListener('abort', done, { once: true });
          wake = done;
        });
      }
      if (signal.aborted) return;
      if (newest !== undefined) {
        const { state, partition, offset } = newest;
        newest = undefined;
        news = await PlaythroughView.of(node, state, partition, offset);
      } else {
        news = await findPlaythrough(node, caller, id);
      }
      if (news === undefined || news.seen.asOf < shown.seen.asOf || news.stateHash === shown.stateHash) continue;
      shown = news;
      yield news;
    }
  } finally {
    stopListening();
    stopCounting();
  }
}
