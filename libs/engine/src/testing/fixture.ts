import type { Actor } from '#lib/decision';
import { createMemoryLog, type EventLog } from '#lib/log';
import { derivedPlaythroughId, playthroughStream, type PlaythroughCommand, type PlaythroughState } from '#lib/playthrough';
import type { CommandOutcome, CommandRequest } from '../command.js';
import type { ContentStore } from '../content-cache.js';
import { Engine } from '../engine.js';
import { EngineFailure } from '../engine-failure.js';
import type { EngineLimits } from '../limits.js';
import { HandColdSource } from './hand-cold-source.js';
import { CountedIds, HandTime, settled } from './hand-time.js';
import { loopHash, loopText } from './loop-story.js';

export const READER: Actor = { id: 'r-one', role: 'reader' };

export type Accepted = Extract<CommandOutcome, { kind: 'accepted' }> & { readonly state: PlaythroughState };
export type Rejected = Extract<CommandOutcome, { kind: 'rejected' }>;

export interface Fixture {
  readonly log: EventLog;
  readonly cold: HandColdSource;
  readonly time: HandTime;
  readonly ids: CountedIds;
  readonly content: ContentStore & { readonly gets: string[] };
  readonly metrics: string[];
  readonly alarms: string[];
  readonly engine: Engine;
  /** Another engine on the same log and read models: a second process, or this one after a restart. */
  another(limits?: Partial<EngineLimits>, log?: EventLog): Engine;
}

export interface FixtureOptions {
  readonly partitions?: number;
  readonly limits?: Partial<EngineLimits>;
  /** Stands between the engine and the log. */
  readonly around?: (log: EventLog) => EventLog;
}

/** An engine on a memory log, read models that move by hand, and time that moves by hand; not started. */
export function fixture({ partitions = 1, limits, around = (log) => log }: FixtureOptions = {}): Fixture {
  const time = new HandTime();
  const ids = new CountedIds();
  const log = createMemoryLog({ partitions, clock: time, id: 'log' });
  const cold = new HandColdSource(log);
  const gets: string[] = [];
  const content: Fixture['content'] = {
    gets,
    get: async (hash) => {
      gets.push(hash);
      return hash === loopHash ? loopText : undefined;
    },
    put: async () => undefined,
  };
  const metrics: string[] = [];
  const alarms: string[] = [];
  const onMetric = (name: string): void => void metrics.push(name);
  const onAlarm = (message: string): void => void alarms.push(message);
  const another: Fixture['another'] = (other = limits, seen = around(log)) =>
    new Engine({
      log: seen,
      cold,
      clock: time,
      timers: time,
      ids,
      content,
      onMetric,
      onAlarm,
      ...(other !== undefined && { limits: other }),
    });
  return { log, cold, time, ids, content, metrics, alarms, engine: another(), another };
}

let commands = 0;
export const freshCommandId = (): string => `c:00000000-0000-4000-9000-${(++commands).toString(16).padStart(12, '0')}`;

/** A request as the API would make it: the digest's input is the command itself. */
export function request(playthroughId: string, command: PlaythroughCommand, more: Partial<CommandRequest> = {}): CommandRequest {
  return {
    stream: playthroughStream(playthroughId),
    commandId: freshCommandId(),
    digestInput: JSON.parse(JSON.stringify(command)) as CommandRequest['digestInput'],
    command,
    actor: READER,
    correlationId: 'f'.repeat(32),
    causationId: null,
    ...more,
  };
}

export function startRequest(more: Partial<CommandRequest> = {}): CommandRequest & { readonly id: string } {
  const commandId = more.commandId ?? freshCommandId();
  const id = derivedPlaythroughId(more.actor?.id ?? READER.id, commandId);
  const command: PlaythroughCommand = { type: 'start', storyId: 'loop', versionHash: loopHash, preview: false };
  return { ...request(id, command, { ...more, commandId }), id };
}

export const chooseRequest = (id: string, turn: number, choiceId = 'walk', more: Partial<CommandRequest> = {}): CommandRequest =>
  request(id, { type: 'choose', choiceId, turn }, more);

export async function accepted(outcome: Promise<CommandOutcome>): Promise<Accepted> {
  const answer = await outcome;
  if (answer.kind !== 'accepted') throw new Error(`rejected: ${answer.code} ${answer.message}`);
  return answer as Accepted;
}

export async function rejected(outcome: Promise<CommandOutcome>): Promise<Rejected> {
  const answer = await outcome;
  if (answer.kind !== 'rejected') throw new Error('accepted, although it should have been rejected');
  return answer;
}

/** The code that a command failed with. */
export async function failure(outcome: Promise<CommandOutcome>): Promise<string> {
  try {
    const answer = await outcome;
    return answer.kind === 'rejected' ? `rejected ${answer.code}` : 'accepted';
  } catch (error) {
    if (error instanceof EngineFailure) return error.code;
    throw error;
  }
}

/** A promise's settling, watched without waiting for it. */
export function watch<T>(promise: Promise<T>): { readonly settled: () => Promise<boolean>; readonly promise: Promise<T> } {
  let done = false;
  promise.then(
    () => (done = true),
    () => (done = true),
  );
  return {
    promise,
    settled: async () => {
      await settled();
      return done;
    },
  };
}
