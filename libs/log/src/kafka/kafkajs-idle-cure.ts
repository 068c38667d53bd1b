import { kafkajsFile, KafkajsChanged } from './kafkajs-internals.js';

/**
 * kafkajs 2.2.4 wakes up for ever: after each answer every connection starts a timer that looks at an empty queue and starts the next
 * (kafkajs #1704, #1751). An idle producer and consumer burn 24–35 ms of CPU a second; with this cure 7–14. A look is needed only while
 * requests wait, or while the broker throttles us.
 */

interface RequestQueue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
}
type Schedule = (this: RequestQueue) => void;

const CURED = Symbol('fabula:cured');

/** Patches kafkajs once per process. @throws KafkajsChanged */
export async function cureIdleLoop(): Promise<void> {
  const prototype = requestQueuePrototype(await kafkajsFile('network/requestQueue/index.js'));
  if (CURED in prototype) return;
  const schedule = prototype.scheduleCheckPendingRequests;
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length === 0 && this.throttledUntil <= Date.now()) return;
    schedule.call(this);
  };
  Object.defineProperty(prototype, CURED, { value: true });
}

function requestQueuePrototype(queue: unknown): { scheduleCheckPendingRequests: Schedule } {
  const prototype: unknown = typeof queue === 'function' ? queue.prototype : undefined;
  if (typeof prototype !== 'object' || prototype === null || !('scheduleCheckPendingRequests' in prototype))
    throw new KafkajsChanged('scheduleCheckPendingRequests');
  if (typeof prototype.scheduleCheckPendingRequests !== 'function') throw new KafkajsChanged('scheduleCheckPendingRequests');
  return prototype as { scheduleCheckPendingRequests: Schedule };
}
