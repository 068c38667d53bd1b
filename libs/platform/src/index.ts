export type { Clock, Ids, Timers } from './clock.js';
