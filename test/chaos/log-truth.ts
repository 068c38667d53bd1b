import { admissible, admit, decodeRecord, EMPTY_HEAD, type DecisionRecord, type StreamHead, type Verdict } from '#lib/decision';
import type { EventLog, StoredRecord } from '#lib/log';
import { applyRecorded, stateHash, type PlaythroughEvent, type PlaythroughState } from '#lib/playthrough';
import type { LogEntry } from './history-checker.js';

/** A fold of the whole log from offset 0: what is true, whatever anybody answered. */
export interface LogTruth {
  /** Records per partition as stored. */
  readonly partitions: readonly (readonly StoredRecord[])[];
  /** Accepted records of each playthrough, in order. */
  readonly playthroughs: ReadonlyMap<string, readonly LogEntry[]>;
  readonly verdicts: { readonly [verdict in Verdict]: number };
  /** Folds that did not lead to the recorded state. */
  readonly broken: readonly string[];
}

interface Folded {
  head: StreamHead;
  state: PlaythroughState | null;
  readonly entries: LogEntry[];
}

export async function foldTruth(log: EventLog): Promise<LogTruth> {
  const partitions: StoredRecord[][] = [];
  const streams = new Map<string, Folded>();
  const verdicts = { accepted: 0, duplicate: 0, reused: 0, conflict: 0, invalid: 0 };
  const broken: string[] = [];
  for (let partition = 0; partition < log.partitions; partition++) {
    const all: StoredRecord[] = [];
    partitions.push(all);
    for await (const { records } of log.read(partition, 0, { upTo: await log.end(partition) })) {
      for (const stored of records) {
        all.push(stored);
        verdicts[foldOne(partition, log.partitions, stored, streams, broken)]++;
      }
    }
  }
  const playthroughs = new Map<string, LogEntry[]>();
  for (const [stream, { entries }] of streams) if (stream.startsWith('playthrough/')) playthroughs.set(stream, entries);
  return { partitions, playthroughs, verdicts, broken };
}

function foldOne(partition: number, partitions: number, stored: StoredRecord, streams: Map<string, Folded>, broken: string[]): Verdict {
  const decoded = decodeRecord(stored.value);
  if (!admissible(decoded, partition, partitions)) return 'invalid';
  const { record, digest } = decoded;
  const folded = streams.get(record.stream) ?? { head: EMPTY_HEAD, state: null, entries: [] };
  streams.set(record.stream, folded);
  const { verdict, head } = admit(folded.head, record, digest, stored.offset);
  if (verdict === 'accepted' && record.stream.startsWith('playthrough/')) {
    const turnBefore = folded.state?.turn ?? -1;
    try {
      for (const event of record.events) folded.state = applyRecorded(folded.state, event);
    } catch (error) {
      broken.push(`${record.stream} at p${partition}@${stored.offset}: ${String(error)}`);
    }
    if (folded.state !== null) folded.entries.push(entryOf(partition, stored, record, head.version, turnBefore, folded.state));
  }
  folded.head = head;
  return verdict;
}

function entryOf(
  partition: number,
  { offset, time }: StoredRecord,
  record: DecisionRecord,
  after: number,
  turnBefore: number,
  state: PlaythroughState,
): LogEntry {
  return {
    stream: record.stream,
    commandId: record.commandId,
    payload: payloadOf(record),
    partition,
    offset,
    time,
    version: { before: record.expectedVersion, after },
    turn: { before: turnBefore, after: state.turn },
    stateHash: stateHash(state),
  };
}

/** What a record's command asked for, read from its events alone; clients say the same of what they send (`asked`). */
function payloadOf({ events }: DecisionRecord): string {
  const event = events[0] as unknown as PlaythroughEvent;
  switch (event.type) {
    case 'PlaythroughStarted':
      return asked.start(event.storyId);
    case 'ChoiceMade':
      return asked.choose(event.choiceId, event.turn - 1);
    case 'TimedOut':
      return `time-out of turn ${event.turn - 1}`;
    case 'Rewound':
      return asked.rewind(event.toTurn, event.turn - 1);
    case 'WhatIfForked':
      return asked.fork(event.from.playthroughId, event.from.turn);
    case 'CheckpointSet':
      return asked.checkpoint(event.checkpoint.turn);
    case 'PlaythroughEnded':
      return 'an end by itself';
  }
}

export const asked = {
  start: (storyId: string) => `start ${storyId}`,
  choose: (choiceId: string, turn: number) => `choose ${choiceId} on turn ${turn}`,
  rewind: (toTurn: number, turn: number) => `rewind to turn ${toTurn} on turn ${turn}`,
  fork: (playthroughId: string, atTurn: number) => `fork ${playthroughId} at turn ${atTurn}`,
  checkpoint: (turn: number) => `checkpoint on turn ${turn}`,
};
