import { sha256Hex } from '#lib/canonical';
import { encodeRecord, type DecisionRecord, type RecordedEvent } from '#lib/decision';
import type { EventLog } from '#lib/log';
import { playthroughEvents, playthrough, stateFromJson, stateHash, type PlaythroughEvent, type PlaythroughState } from '#lib/playthrough';
import { foldLog } from '../fold-log.js';
import { playthroughKind } from '../fold-playthrough.js';
import type { StreamKind } from '../stream-kind.js';
import { STREAM_KINDS, type StreamKinds } from '../stream-kinds.js';
import { readAll } from './read-all.js';

const catalogue = new Map([...playthroughEvents, ['PassageNarrated', { version: 1, upcasters: [] }]] as const);

/** A later Fabula, which knows the event that this one does not. */
export const MENDED: StreamKinds = new Map([...STREAM_KINDS, ['playthrough', { ...playthroughKind, catalogue } as StreamKind<unknown>]]);

interface Tail {
  readonly stream: string;
  readonly version: number;
  readonly previous: string | null;
  readonly state: PlaythroughState;
}

/** Appends an honest record of an unknown event type to some stream of a log with one partition, and two checkpoints after it. */
export async function appendPoison(log: EventLog): Promise<{ readonly stream: string; readonly offset: number; readonly version: number }> {
  const tail = await tailOf(log);
  const offset = await log.end(0);
  const narrated = { type: 'PassageNarrated', v: 1, text: 'The lamp went out.', at: tail.state.lastAt, stateHash: stateHash(tail.state) };
  await append(log, tail, narrated);
  await appendCheckpoint(log, tail.stream);
  await appendCheckpoint(log, tail.stream);
  return { stream: tail.stream, offset, version: tail.version + 3 };
}

export async function appendCheckpoint(log: EventLog, stream: string): Promise<void> {
  const tail = await tailOf(log, stream);
  const n = await log.end(0);
  const name = { alg: 'A256GCM', kid: 'k', iv: 'i', ct: `c${n}`, tag: 't' } as const;
  const checkpoint = { name, mark: sha256Hex(`mark ${n}`), turn: tail.state.turn };
  const event = { type: 'CheckpointSet', v: 1, turn: tail.state.turn, checkpoint, at: tail.state.lastAt + 1, stateHash: '' } as const;
  const after = playthrough.evolve(tail.state, event as PlaythroughEvent);
  await append(log, tail, { ...event, stateHash: after === null ? '' : stateHash(after) });
}

async function append(
  log: EventLog,
  { stream, version, previous }: Tail,
  event: object,
  more: Partial<DecisionRecord> = {},
): Promise<void> {
  const n = await log.end(0);
  const record: DecisionRecord = {
    v: 1,
    stream,
    expectedVersion: version,
    previous,
    commandId: `s:poison:${n}`,
    commandDigest: sha256Hex(`poison ${n}`),
    eventCount: 1,
    correlationId: 'poison',
    causationId: null,
    actor: { id: 'system', role: 'system' },
    at: n,
    events: [event as RecordedEvent],
    ...more,
  };
  await log.append(0, [{ key: stream, value: encodeRecord(record) }]);
}

/** A rewind whose correlation id no Postgres text can hold. */
export async function appendUnstorable(log: EventLog): Promise<string> {
  const tail = await tailOf(log);
  await append(log, tail, rewound(tail.state), { correlationId: 'a\u0000b' });
  return tail.stream;
}

function rewound(state: PlaythroughState) {
  const event = {
    type: 'Rewound',
    v: 1,
    turn: state.turn + 1,
    toTurn: 0,
    narrative: state.narrative,
    at: state.lastAt,
    deadline: null,
    stateHash: '',
  } as const;
  const after = playthrough.evolve(state, event);
  return { ...event, stateHash: after === null ? '' : stateHash(after) };
}

async function tailOf(log: EventLog, stream?: string): Promise<Tail> {
  const folded = await foldLog(await log.id(), await readAll(log), MENDED);
  const rows = [...folded.rows('streams').values()];
  const row = stream === undefined ? rows[0] : rows.find((other) => other.stream === stream);
  if (row === undefined) throw new Error('the log holds no such stream');
  return { stream: row.stream, version: row.version, previous: row.previous, state: stateFromJson(row.state ?? '') };
}
