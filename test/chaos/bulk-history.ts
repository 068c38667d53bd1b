import { commandDigest, encodeRecord, isRejection, partitionOf, type DecisionRecord } from '#lib/decision';
import { sha256Hex } from '#lib/canonical';
import { MAX_BATCH_BYTES, MAX_BATCH_RECORDS, type EventLog, type LogRecord } from '#lib/log';
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

/** Appends whole playthroughs, decided here, straight to the log: a long past in little time. Answers how many records. */
export async function appendPast(log: EventLog, playthroughs: number, turns: number): Promise<number> {
  const story = compileStory(chaosStory);
  const random = new Random(10);
  const waiting = Array.from({ length: log.partitions }, () => [] as LogRecord[]);
  let records = 0;
  const flush = async (partition: number): Promise<void> => {
    const batch = waiting[partition]?.splice(0) ?? [];
    if (batch.length > 0) await log.append(partition, batch);
  };
  for (let i = 0; i < playthroughs; i++) {
    const past = onePast(story, random, turns);
    const partition = partitionOf(past[0]?.key ?? '', log.partitions);
    for (const record of past) {
      const batch = waiting[partition] as LogRecord[];
      const bytes = batch.reduce((sum, { value }) => sum + value.length + 200, record.value.length);
      if (batch.length >= MAX_BATCH_RECORDS / 2 || bytes > MAX_BATCH_BYTES * 0.9) await flush(partition);
      (waiting[partition] as LogRecord[]).push(record);
    }
    records += past.length;
  }
  for (let partition = 0; partition < log.partitions; partition++) await flush(partition);
  return records;
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
