import { randomFillSync, randomUUID } from 'node:crypto';
import type { Clock, Ids, Timers } from './clock.js';

export const systemClock: Clock = { now: () => Date.now() };

/** Node fires timers longer than this at once, so longer waits are made of several. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemTimers: Timers = {
  after(ms, callback) {
    let timer: NodeJS.Timeout;
    const wait = (left: number) => {
      timer = setTimeout(() => (left > LONGEST_TIMER_MS ? wait(left - LONGEST_TIMER_MS) : callback()), Math.min(left, LONGEST_TIMER_MS));
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
};

/** Drawn many at a time, as randomUUID does: a call to the generator costs more than a decision's hash. Each byte is given out once. */
const pool = Buffer.alloc(4_096);
let given = pool.length;

export const systemIds: Ids = {
  uuid: () => randomUUID(),
  hex: (bytes) => {
    if (bytes > pool.length) return randomFillSync(Buffer.alloc(bytes)).toString('hex');
    if (given + bytes > pool.length) {
      randomFillSync(pool);
      given = 0;
    }
    const text = pool.toString('hex', given, given + bytes);
    pool.fill(0, given, (given += bytes));
    return text;
  },
};
