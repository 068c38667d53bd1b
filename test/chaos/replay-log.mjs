// A process of its own that knows nothing but the log: folds every playthrough from offset 0 and prints, per stream, how many accepted
// records it has and one SHA-256 over `<version> <turn> <state hash>` of each. Usage:
// node test/chaos/replay-log.mjs PARTITIONS postgres DATABASE_URL, or PARTITIONS kafka BROKERS TOPIC
import { createHash } from 'node:crypto';
import pg from 'pg';
import { admissible, admit, decodeRecord, EMPTY_HEAD } from '#lib/decision';
import { openKafkaLog, openPostgresLog } from '#lib/log';
import { applyRecorded, stateHash } from '#lib/playthrough';

const [count, kind, where, topic] = process.argv.slice(2);
const partitions = Number(count);
const pool = kind === 'postgres' ? new pg.Pool({ connectionString: where, max: 2 }) : undefined;
const log =
  pool === undefined
    ? await openKafkaLog({ connection: { brokers: where.split(','), clientId: 'replay' }, topic, partitions, expectExisting: true })
    : await openPostgresLog({ pool, partitions });
for (let partition = 0; partition < log.partitions; partition++) {
  const streams = new Map();
  for await (const { records } of log.read(partition, 0, { upTo: await log.end(partition) })) {
    for (const { value, offset } of records) {
      const decoded = decodeRecord(value);
      if (!admissible(decoded, partition, log.partitions)) continue;
      const { record, digest } = decoded;
      if (!record.stream.startsWith('playthrough/')) continue;
      const stream = streams.get(record.stream) ?? { head: EMPTY_HEAD, state: null, accepted: 0, sha256: createHash('sha256') };
      streams.set(record.stream, stream);
      const { verdict, head } = admit(stream.head, record, digest, offset);
      stream.head = head;
      if (verdict !== 'accepted') continue;
      for (const event of record.events) stream.state = applyRecorded(stream.state, event);
      stream.accepted++;
      stream.sha256.update(`${head.version} ${stream.state.turn} ${stateHash(stream.state)}\n`);
    }
  }
  for (const [name, { accepted, sha256 }] of streams) process.stdout.write(`${name} ${accepted} ${sha256.digest('hex')}\n`);
}
await log.close();
await pool?.end();
