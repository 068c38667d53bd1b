import { encodeRecord, partitionOf, type DecisionRecord, type RecordedEvent } from '#lib/decision';
import { sha256Hex } from '#lib/canonical';
import type { EventLog } from '#lib/log';
import {
  playthrough,
  playthroughStream,
  stateHash,
  type NarrativeState,
  type PlaythroughEvent,
  type PlaythroughState,
} from '#lib/playthrough';

/*
 * Logs as honest, late, double and broken writers leave them, from a seed. Events are made here, not by `decide`, so that the read models
 * are tested without a story and with everything the log may hold.
 */

export interface HistoryOptions {
  readonly seed: number;
  readonly partitions: number;
  readonly playthroughs: number;
  /** Records to write, whatever their verdicts. */
  readonly records: number;
  /** Share of records that are not an honest next one; default 0.3. */
  readonly mischief?: number;
  /** Characters of filler in every move, for sizes as in production; default 0. */
  readonly filler?: number;
}

/** What the writer knows the log to mean: an account independent of the projector's fold. */
export interface HistoryTruth {
  readonly states: ReadonlyMap<string, PlaythroughState>;
  readonly versions: ReadonlyMap<string, number>;
  readonly verdicts: { readonly [verdict: string]: number };
}

const STORY = 'lighthouse';
const VERSIONS = ['a'.repeat(64), 'b'.repeat(64)] as const;
const PASSAGES = ['shore', 'stairs', 'lamp-room', 'cellar', 'boat'] as const;

/** A small linear-congruential generator: the same numbers everywhere. */
export function randomFrom(seed: number): (below: number) => number {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Writer {
  readonly id: string;
  readonly stream: string;
  readonly partition: number;
  state: PlaythroughState | null;
  version: number;
  previous: string | null;
  /** The last honest record, to be sent again. */
  last: Uint8Array | undefined;
  lastRecord: DecisionRecord | undefined;
  readonly past: PlaythroughState[];
}

/** Appends a random history and tells what it means. */
export async function writeRandomHistory(log: EventLog, options: HistoryOptions): Promise<HistoryTruth> {
  const random = randomFrom(options.seed);
  const mischief = Math.round((options.mischief ?? 0.3) * 100);
  const writers = Array.from({ length: options.playthroughs }, (_, n) => writer(options, n));
  const verdicts: { [verdict: string]: number } = { accepted: 0, duplicate: 0, reused: 0, conflict: 0, invalid: 0 };
  const pending: { key: string; value: Uint8Array }[][] = Array.from({ length: options.partitions }, () => []);
  const bytes: number[] = pending.map(() => 0);
  const flush = async (partition: number): Promise<void> => {
    const records = pending[partition] as { key: string; value: Uint8Array }[];
    if (records.length > 0) await log.append(partition, records.splice(0));
    bytes[partition] = 0;
  };
  for (let n = 0; n < options.records; n++) {
    const author = writers[random(writers.length)] as Writer;
    const verdict = random(100) < mischief ? oneOf(random, ['duplicate', 'reused', 'conflict', 'invalid']) : 'accepted';
    const at = 1_700_000_000_000 + n * 1000;
    const made = recordFor(author, author.last === undefined && verdict !== 'invalid' ? 'accepted' : verdict, random, n, at, options);
    const partition = made.partition;
    verdicts[made.verdict] = (verdicts[made.verdict] as number) + 1;
    const list = pending[partition] as { key: string; value: Uint8Array }[];
    if ((bytes[partition] as number) + made.value.length > 700 * 1024) await flush(partition);
    list.push({ key: author.stream, value: made.value });
    bytes[partition] = (bytes[partition] as number) + made.value.length;
    if (list.length >= 1 + random(options.filler === undefined ? 7 : 1000)) await flush(partition);
  }
  for (let partition = 0; partition < pending.length; partition++) await flush(partition);
  return {
    states: new Map(writers.flatMap((w) => (w.state === null ? [] : [[w.stream, w.state] as const]))),
    versions: new Map(writers.filter((w) => w.version > 0).map((w) => [w.stream, w.version])),
    verdicts,
  };
}

function writer(options: HistoryOptions, n: number): Writer {
  const hex = sha256Hex(`${options.seed}/${n}`);
  const id = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  const stream = playthroughStream(id);
  const partition = partitionOf(stream, options.partitions);
  return { id, stream, partition, state: null, version: 0, previous: null, last: undefined, lastRecord: undefined, past: [] };
}

interface Made {
  readonly value: Uint8Array;
  readonly verdict: string;
  readonly partition: number;
}

function recordFor(w: Writer, verdict: string, random: (n: number) => number, n: number, at: number, options: HistoryOptions): Made {
  const { partition } = w;
  const last = w.lastRecord;
  if (verdict === 'duplicate') return { value: w.last as Uint8Array, verdict, partition };
  if (verdict === 'invalid')
    return { value: Buffer.from(oneOf(random, ['{', 'null', '\u0000', `{"v":1,"stream":"${w.stream}"}`])), verdict, partition };
  if (verdict === 'reused' && last !== undefined) {
    return { value: encodeRecord({ ...last, commandDigest: sha256Hex(`other ${n}`), at }), verdict, partition };
  }
  const events = oneMove(w, random, n, at, options);
  const record: DecisionRecord = {
    v: 1,
    stream: w.stream,
    expectedVersion: w.version,
    previous: w.previous,
    commandId: `c:${sha256Hex(`command ${options.seed} ${n}`).slice(0, 36)}`,
    commandDigest: sha256Hex(`input ${n}`),
    eventCount: events.length,
    correlationId: sha256Hex(`correlation ${n}`).slice(0, 32),
    causationId: null,
    actor: { id: `reader-${random(5)}`, role: 'reader' },
    at,
    events: events as unknown as readonly RecordedEvent[],
  };
  if (verdict === 'conflict') {
    // A zombie: decided on an older state, or on the right version of another history.
    const stale = random(2) === 0 ? { expectedVersion: w.version + 1 + random(3) } : { previous: sha256Hex(`elsewhere ${n}`) };
    return { value: encodeRecord({ ...record, ...stale }), verdict, partition };
  }
  const value = encodeRecord(record);
  w.last = value;
  w.lastRecord = record;
  w.version += events.length;
  w.previous = sha256Hex(value);
  for (const event of events) w.state = playthrough.evolve(w.state, event);
  if (w.state !== null && w.past.at(-1)?.turn !== w.state.turn) w.past.push(w.state);
  return { value, verdict: 'accepted', partition };
}

/** An event before its state hash is known. */
type Unhashed = PlaythroughEvent extends infer Event ? (Event extends PlaythroughEvent ? Omit<Event, 'stateHash'> : never) : never;

/** The events of one honest command on the writer's state. */
function oneMove(w: Writer, random: (n: number) => number, n: number, at: number, options: HistoryOptions): readonly PlaythroughEvent[] {
  const { state } = w;
  if (state === null) return hashed(null, [random(8) === 0 ? forked(w, random, at) : started(w, random, n, at)]);
  const turn = state.turn + 1;
  const kind = random(100);
  if (kind < 6) return hashed(state, [checkpoint(state, n, at)]);
  if (state.status === 'ended' || kind < 14) {
    const to = w.past[random(w.past.length)] as PlaythroughState;
    const narrative: NarrativeState = { ...to.narrative, draws: state.narrative.draws };
    return hashed(state, [{ type: 'Rewound', v: 1, turn, toTurn: to.turn, narrative, at, deadline: null }]);
  }
  const move = moved(state, random, n, at, options);
  const timedOut = kind < 20;
  const event: Unhashed = timedOut
    ? { type: 'TimedOut', v: 1, ...move }
    : { type: 'ChoiceMade', v: 1, ordinal: 0, labelHash: sha256Hex('label'), decisionMs: 900, ...move };
  const ending: Unhashed = {
    type: 'PlaythroughEnded',
    v: 1,
    turn,
    passageId: move.toPassageId,
    ending: oneOf(random, ['home', 'lost']),
    at,
  };
  return hashed(state, kind > 94 ? [event, ending] : [event]);
}

function moved(state: PlaythroughState, random: (n: number) => number, n: number, at: number, options: HistoryOptions) {
  const fromPassageId = state.narrative.passageId;
  const choiceId = `to-${n % 3}`;
  const gold = state.narrative.variables['gold'] as number;
  return {
    turn: state.turn + 1,
    storyId: state.storyId,
    versionHash: state.versionHash,
    semantics: 1,
    fromPassageId,
    choiceId,
    offered: [0, 1, 2].map((c) => ({
      choiceId: `to-${c}`,
      visible: c === n % 3 || random(3) > 0,
      enabled: c === n % 3 || random(2) === 0,
    })),
    guardInputs: filling(options.filler),
    changes: [{ name: 'gold', from: gold, to: gold + 1 }],
    draws: [],
    toPassageId: oneOf(random, PASSAGES),
    entered: true,
    returnTo: [],
    at,
    deadline: random(6) === 0 ? at + 30_000 : null,
  } as const;
}

function filling(characters: number | undefined): { readonly [name: string]: string } {
  return characters === undefined ? {} : { note: 'x'.repeat(characters) };
}

function fresh(at: number, w: Writer, random: (n: number) => number) {
  return {
    playthroughId: w.id,
    storyId: STORY,
    versionHash: oneOf(random, VERSIONS),
    semantics: 1,
    seed: '0'.repeat(32),
    reader: `reader-${random(5)}`,
    narrative: { chosen: {}, draws: 0, ending: null, passageId: 'shore', returnTo: [], variables: { gold: 3 }, visits: { shore: 1 } },
    at,
    deadline: null,
  } as const;
}

function started(w: Writer, random: (n: number) => number, n: number, at: number): Unhashed {
  return { type: 'PlaythroughStarted', v: 1, ...fresh(at, w, random), preview: n % 11 === 0, draws: [] };
}

function forked(w: Writer, random: (n: number) => number, at: number): Unhashed {
  return {
    type: 'WhatIfForked',
    v: 1,
    ...fresh(at, w, random),
    from: { playthroughId: 'elsewhere', turn: 3 + random(40) },
  };
}

function checkpoint(state: PlaythroughState, n: number, at: number): Unhashed {
  const name = { alg: 'A256GCM', kid: 'k', iv: 'i', ct: `c${n}`, tag: 't' } as const;
  return { type: 'CheckpointSet', v: 1, turn: state.turn, checkpoint: { name, mark: sha256Hex(`mark ${n}`), turn: state.turn }, at };
}

function hashed(state: PlaythroughState | null, events: readonly Unhashed[]): readonly PlaythroughEvent[] {
  let current = state;
  return events.map((event) => {
    const next = playthrough.evolve(current, { ...event, stateHash: '' } as PlaythroughEvent);
    if (next === null) throw new Error('the history begins in the middle');
    current = next;
    return { ...event, stateHash: stateHash(next) } as PlaythroughEvent;
  });
}

function oneOf<T>(random: (n: number) => number, values: readonly T[]): T {
  return values[random(values.length)] as T;
}
