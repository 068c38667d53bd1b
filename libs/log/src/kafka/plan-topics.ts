/** What an installation is to carry. */
export interface Load {
  /** Readers in the middle of a story at the same time. */
  readonly readers: number;
  /** Turns a second at the busiest time. */
  readonly turnsPerSecond: number;
  /** One decision record with its envelope (default 900: a turn of a story with a dozen variables). */
  readonly recordBytes?: number;
}

export interface TopicPlan {
  readonly topic: { readonly partitions: number; readonly replication: number; readonly minInSync: number };
  readonly processes: number;
  readonly brokers: number;
  readonly bytesPerSecond: { readonly written: number; readonly replicated: number; readonly read: number };
  readonly diskPerDay: { readonly total: number; readonly perBroker: number };
  /** How each number came about, for people. */
  readonly because: readonly string[];
}

/** Beside the bytes of a record: lengths, key, its share of the batch's header. */
const OVERHEAD_BYTES = 70;
const USUAL_RECORD_BYTES = 900;
/** Turns a second of one server process with every role, at half load on two cores. */
const TURNS_PER_PROCESS = 1_000;
/** Hot playthroughs of one process: some kilobytes each, within 512 MiB. */
const READERS_PER_PROCESS = 50_000;
/** One broker at half load, in and out, with room for a follower that catches up. */
const BYTES_PER_BROKER = 40 * 1024 * 1024;
/** Records a second of one broker at half load: small batches cost CPU, not bytes. */
const RECORDS_PER_BROKER = 15_000;
/** Projector, auditor and the engine's tail index each read the log once; rebuilds add a fourth. */
const READERS_OF_LOG = 4;
const REPLICATION = 3;
/** A process that goes leaves this many partitions at least, so that they spread over the others. */
const PARTITIONS_PER_PROCESS = 4;
const LEAST_PARTITIONS = 12;

/**
 * Partitions, processes, brokers and disk for a load. The figures above are cautious; measure before relying on them.
 *
 * - processes  = max(turns/s ÷ 1,000, readers ÷ 50,000), rounded up, and one to spare
 * - partitions = the first of 12, 24, 48, 96 … that is at least 4 × processes: these divide evenly by 2, 3, 4 and 6 processes or brokers.
 *   The count can never be changed: the plan is made for twice the load.
 * - brokers    = max(3, bytes in and out ÷ 40 MiB/s, records written with replicas ÷ 15,000/s), rounded up
 * - disk a day = turns/s × 86,400 × (record + 70 bytes) × 3, as if the busiest second lasted all day
 */
export function planTopics(load: Load): TopicPlan {
  const { readers, turnsPerSecond, recordBytes = USUAL_RECORD_BYTES } = load;
  const processes = processesFor(turnsPerSecond, readers);
  const grown = processesFor(2 * turnsPerSecond, 2 * readers);
  let partitions = LEAST_PARTITIONS;
  while (partitions < PARTITIONS_PER_PROCESS * grown) partitions *= 2;
  const stored = recordBytes + OVERHEAD_BYTES;
  const written = turnsPerSecond * stored;
  const replicated = written * REPLICATION;
  const read = written * (READERS_OF_LOG + REPLICATION - 1);
  const byBytes = Math.ceil((replicated + read) / BYTES_PER_BROKER);
  const byRecords = Math.ceil((turnsPerSecond * REPLICATION) / RECORDS_PER_BROKER);
  const brokers = Math.max(REPLICATION, byBytes, byRecords);
  const total = replicated * 86_400;
  return {
    topic: { partitions, replication: REPLICATION, minInSync: 2 },
    processes,
    brokers,
    bytesPerSecond: { written, replicated, read },
    diskPerDay: { total, perBroker: Math.ceil(total / brokers) },
    because: [
      `${processes} processes: ${TURNS_PER_PROCESS} turns a second and ${READERS_PER_PROCESS} readers each, and one to spare`,
      `${partitions} partitions: at least ${PARTITIONS_PER_PROCESS} for each of ${grown} processes, as twice this load would need; the count never changes`,
      `${brokers} brokers: 3 at least, ${byBytes} for the bytes, ${byRecords} for the records`,
      `${stored} bytes a record on disk, in ${REPLICATION} copies, as if the busiest second lasted all day`,
    ],
  };
}

function processesFor(turnsPerSecond: number, readers: number): number {
  return Math.max(1, Math.ceil(turnsPerSecond / TURNS_PER_PROCESS), Math.ceil(readers / READERS_PER_PROCESS)) + 1;
}
