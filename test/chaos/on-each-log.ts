import { createHash } from 'node:crypto';
import { describeWithOwnKafka } from '../support/kafka.js';
import { isLong } from '../support/requirement.js';
import type { LogKind } from './arena-log.js';

export interface OnLog {
  readonly log: LogKind;
  /** Name of a row of the checks, told apart by the log. */
  row(name: string): string;
}

/** Drawn once per run of jest; FABULA_TEST_SEED=n draws again what another run drew. */
const DRAWN = Number(process.env['FABULA_TEST_SEED'] ?? numberOf(process.env['FABULA_TEST_CLUSTER'] ?? ''));

/**
 * The same spec on the embedded default and on Kafka.
 * @param share of specs that say the same number `of`, a short run plays one on Kafka: it takes its time, and the long run plays them all
 */
export function onEachLog(title: string, body: (on: OnLog) => void, share?: { readonly one: number; readonly of: number }): void {
  describe(title, () => body({ log: 'postgres', row: (name) => name }));
  if (share !== undefined && !isLong && DRAWN % share.of !== share.one) return;
  describeWithOwnKafka(`On Kafka: ${title}`, () => body({ log: 'kafka', row: (name) => `${name}, on Kafka` }));
}

/** All workers of a run have the same folder, another run has another. */
function numberOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt16BE(0);
}
