import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Driven } from '../measure/drive.js';
import type { LoadNews, LoadOrder } from './load-client.js';

/** One round of load by the client's process. */
export async function orderLoad(load: ChildProcess, order: LoadOrder): Promise<Driven> {
  load.send(order);
  const [news] = (await once(load, 'message')) as [LoadNews];
  if ('failure' in news) throw new Error(news.failure);
  return news.driven;
}
