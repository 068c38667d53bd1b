import { describeWithOwnKafka } from '../support/kafka.js';
import type { LogKind } from './arena-log.js';

export interface OnLog {
  readonly log: LogKind;
  /** Name of a row of the checks, told apart by the log. */
  row(name: string): string;
}

/** The same spec on the embedded default and on Kafka. */
export function onEachLog(title: string, body: (on: OnLog) => void): void {
  describe(title, () => body({ log: 'postgres', row: (name) => name }));
  describeWithOwnKafka(`On Kafka: ${title}`, () => body({ log: 'kafka', row: (name) => `${name}, on Kafka` }));
}
