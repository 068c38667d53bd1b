import { commandDigest, encodeRecord, isRejection, partitionOf, type DecisionRecord } from '#lib/decision';
import { sha256Hex } from '#lib/canonical';
import { LogUnavailable, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, OutcomeUnknown, type EventLog, type LogRecord } from '#lib/log';
import {
  derivedPlaythroughId,
  momentOf,
  playthrough,
  playthroughStream,
  type PlaythroughCommand,
  type PlaythroughState,
} from '#lib/playthrough';
import { compileStory, type CompiledStory } from '#lib/story';
import { Random } from '../simulation/random.js';
import { chaosStory } from './chaos-story.js';

const RECORDS_PER_APPEND = MAX_BATCH_RECORDS / 2;
const BYTES_PER_APPEND = MAX_BATCH_BYTES * 0.9;
const OVERHEAD_BYTES = 200;
/** Brokers on a busy machine let a request time out now and then: what may be stored already counts for nothing the second time. */
const TRIES = 20;

/**
 * Appends whole playthroughs, decided here, straight to the log: a long past in little time. Answers how many records.
 * @param seed another one for each call on the same log
 */
export async function appendPast(log: EventLog, playthroughs: number, turns: number, seed = 10): Promise<number> {
  const story = compileStory(chaosStory);
  const random = new Random(seed);
  const waiting = Array.from({ length: log.partitions }, () => ({ batch: [] as LogRecord[], bytes: 0, sent: Promise.resolve() }));
  let records = 0;
  const flush = async (partition: number): Promise<void> => {
    const one = waiting[partition] as (typeof waiting)[number];
    const { batch } = one;
    if (batch.length === 0) return;
    one.batch = [];
    one.bytes = 0;
    // One append of a partition is under way while the next is made.
    await one.sent;
    one.sent = appendUntilStored(log, partition, batch);
    one.sent.catch(() => undefined); // who awaits it is told
  };
  for (let i = 0; i < playthroughs; i++) {
    const past = onePast(story, random, turns);
    const partition = partitionOf(past[0]?.key ?? '', log.partitions);
    const one = waiting[partition] as (typeof waiting)[number];
    for (const record of past) {
      const bytes = record.value.length + OVERHEAD_BYTES;
      if (one.batch.length >= RECORDS_PER_APPEND || one.bytes + bytes > BYTES_PER_APPEND) await flush(partition);
      one.batch.push(record);
      one.bytes += bytes;
    }
    records += past.length;
  }
  for (let partition = 0; partition < log.partitions; partition++) await flush(partition);
  await Promise.all(waiting.map(({ sent }) => sent));
  return records;
}

async function appendUntilStored(log: EventLog, partition: number, batch: readonly LogRecord[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await log.append(partition, batch);
      return;
    } catch (error) {
      if (!(error instanceof OutcomeUnknown || error instanceof LogUnavailable) || attempt === TRIES) throw error;
    }
  }
}

function onePast(story: CompiledStory, random: Random, turns: number): readonly LogRecord[] {
  const actor = { id: `past-${random.hex(8)}`, role: 'reader' } as const;
  const first = `c:${random.uuid()}`;
  const id = derivedPlaythroughId(actor.id, first);
  const stream = playthroughStream(id);
  const records: LogRecord[] = [];
  let state: PlaythroughState | null = null;
  let version = 0;
  let previous: string | null = null;
  let now = 1_700_000_000_000;
  const add = (command: PlaythroughCommand, commandId: string): void => {
    now += 1_000;
    const events = playthrough.decide(command, state, { story, now, playthroughId: id, reader: actor.id, entropy: random.hex(32) });
    if (isRejection(events)) throw new Error(`${command.type} was refused: ${events.message}`);
    const digestInput = JSON.parse(JSON.stringify(command)) as Parameters<typeof commandDigest>[0];
    const record: DecisionRecord = {
      ...{ v: 1, stream, expectedVersion: version, previous, commandId, commandDigest: commandDigest(digestInput, actor) },
      ...{ eventCount: events.length, correlationId: random.hex(32), causationId: null, actor, at: now },
      events: events as unknown as DecisionRecord['events'],
    };
    const value = encodeRecord(record);
    records.push({ key: stream, value });
    for (const event of events) state = playthrough.evolve(state, event);
    version += events.length;
    previous = sha256Hex(value);
  };
  add({ type: 'start', storyId: story.story.id, versionHash: story.hash, preview: false }, first);
  for (let turn = 0; turn < turns; turn++) {
    const open = momentOf(story, state as unknown as PlaythroughState).offers.filter((offer) => offer.enabled && offer.id !== 'leave');
    add({ type: 'choose', choiceId: random.pick(open).id, turn }, `c:${random.uuid()}`);
  }
  return records;
}
