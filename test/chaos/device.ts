import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { playthroughStream } from '#lib/playthrough';
import { decodePosition } from '#lib/projections';
import type { Attempt, History, Saw } from './history.js';
import { asked } from './log-truth.js';

/** A command as a device sends it, as often as it takes, always with the same id. */
export interface Command {
  readonly commandId: string;
  readonly mutation: string;
  readonly inputType: string;
  readonly input: { readonly [name: string]: string | number };
  readonly payload: string;
  readonly stream: string | undefined;
  readonly turn: number | undefined;
}

export const commands = {
  start: (storyId: string, commandId: string = randomUUID()): Command => ({
    ...{ commandId, mutation: 'startPlaythrough', inputType: 'StartPlaythroughInput', input: { storyId, commandId } },
    ...{ payload: asked.start(storyId), stream: undefined, turn: undefined },
  }),
  choose: (playthroughId: string, choiceId: string, turn: number, commandId: string = randomUUID()): Command => ({
    ...{ commandId, mutation: 'choose', inputType: 'ChooseInput', input: { playthroughId, choiceId, turn, commandId } },
    ...{ payload: asked.choose(choiceId, turn), stream: playthroughStream(playthroughId), turn },
  }),
  rewind: (playthroughId: string, toTurn: number, turn: number, commandId: string = randomUUID()): Command => ({
    ...{ commandId, mutation: 'rewind', inputType: 'RewindInput', input: { playthroughId, toTurn, turn, commandId } },
    ...{ payload: asked.rewind(toTurn, turn), stream: playthroughStream(playthroughId), turn },
  }),
  fork: (playthroughId: string, atTurn: number, commandId: string = randomUUID()): Command => ({
    ...{ commandId, mutation: 'fork', inputType: 'ForkInput', input: { playthroughId, atTurn, commandId } },
    ...{ payload: asked.fork(playthroughId, atTurn), stream: undefined, turn: undefined },
  }),
  checkpoint: (playthroughId: string, name: string, turn: number, commandId: string = randomUUID()): Command => ({
    ...{ commandId, mutation: 'setCheckpoint', inputType: 'SetCheckpointInput', input: { playthroughId, name, turn, commandId } },
    ...{ payload: asked.checkpoint(turn), stream: playthroughStream(playthroughId), turn },
  }),
};

/** What a device learns of where its playthrough stands. */
export interface Seen {
  readonly id?: string;
  readonly turn: number;
  readonly passageId: string;
}

export interface Answer {
  readonly saw: Saw;
  readonly now?: Seen;
}

interface Shown {
  readonly id: string;
  readonly turn: number;
  readonly stateHash: string;
  readonly moment: { readonly passage: { readonly id: string } };
}
interface Payload {
  readonly playthrough: Shown;
  readonly turn: number;
  readonly position: string;
  readonly duplicate: boolean;
}
interface Body {
  readonly data?: { readonly [name: string]: unknown } | null;
  readonly errors?: readonly { readonly extensions?: { readonly code?: string; readonly [more: string]: unknown } }[];
}

const SHOWN = 'id turn stateHash moment { passage { id } }';
/** The server says of these that the try had no effect; sending the same again may have one. */
const NO_EFFECT: ReadonlySet<string> = new Set(['OVERLOADED', 'LOG_UNAVAILABLE', 'RATE_LIMITED']);
/** Nothing is said about the command: it may have had its effect, now or before. */
const UNKNOWN: ReadonlySet<string> = new Set(['OUTCOME_UNKNOWN', 'NOT_YET_VISIBLE', 'INTERNAL']);

/** HTTP of many devices in one process: one pool of kept-alive connections, each request with its own patience. */
export class Network {
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

  constructor(private readonly history: History) {}

  /** Sends one try and keeps in the history what came of it. Never throws. */
  async send(url: string, token: string, command: Command, patienceMs: number): Promise<Answer> {
    const query = `mutation ($input: ${command.inputType}!) { ${command.mutation}(input: $input) { playthrough { ${SHOWN} } turn position duplicate } }`;
    const sentAt = performance.now();
    const body = await this.post(url, token, { query, variables: { input: command.input } }, patienceMs);
    const answer = typeof body === 'string' ? { saw: { kind: 'unknown', code: body } as const } : answerOf(body, command);
    const { commandId, payload, stream, turn } = command;
    const attempt: Attempt = { commandId: `c:${commandId}`, payload, stream, turn, sentAt, endedAt: performance.now(), saw: answer.saw };
    this.history.add(attempt);
    return answer;
  }

  /** Looks at a playthrough; the code of the failure if it failed. */
  async look(url: string, token: string, id: string, patienceMs: number): Promise<Seen | string> {
    const body = await this.post(
      url,
      token,
      { query: `query ($id: ID!) { playthrough(id: $id) { ${SHOWN} } }`, variables: { id } },
      patienceMs,
    );
    if (typeof body === 'string') return body;
    const shown = body.data?.['playthrough'] as Shown | null | undefined;
    if (shown === null || shown === undefined) return String(body.errors?.[0]?.extensions?.code ?? 'nothing');
    this.history.sightings.push({ stream: playthroughStream(shown.id), turn: shown.turn, stateHash: shown.stateHash });
    return { id: shown.id, turn: shown.turn, passageId: shown.moment.passage.id };
  }

  close(): void {
    this.agent.destroy();
  }

  /** The answer, or in one word why there is none. */
  private post(url: string, token: string, body: object, patienceMs: number): Promise<Body | string> {
    return new Promise((resolve) => {
      const bytes = Buffer.from(JSON.stringify(body));
      const headers = { 'content-type': 'application/json', 'content-length': bytes.length, authorization: `Bearer ${token}` };
      const request = http.request(`${url}/graphql`, { method: 'POST', agent: this.agent, headers, timeout: patienceMs }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
        response.once('end', () => {
          try {
            resolve(JSON.parse(text) as Body);
          } catch {
            // Cut off half-way, or a gateway's page: nothing is known.
            resolve(`http-${response.statusCode}`);
          }
        });
      });
      request.once('timeout', () => request.destroy(Object.assign(new Error('no answer in time'), { code: 'timeout' })));
      request.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      request.end(bytes);
    });
  }
}

function answerOf(body: Body, command: Command): Answer {
  const payload = body.data?.[command.mutation] as Payload | null | undefined;
  if (payload !== null && payload !== undefined) {
    const position = decodePosition(payload.position);
    if (position === undefined) return { saw: { kind: 'unknown', code: 'bad-position' } };
    const { id, turn, stateHash, moment } = payload.playthrough;
    return {
      saw: {
        kind: 'accepted',
        duplicate: payload.duplicate,
        stream: playthroughStream(id),
        partition: position.partition,
        offset: position.offset,
        turn: payload.turn,
        stateHash,
      },
      now: { id, turn, passageId: moment.passage.id },
    };
  }
  const extensions = body.errors?.[0]?.extensions;
  const code = String(extensions?.code ?? 'no-code');
  if (NO_EFFECT.has(code)) return { saw: { kind: 'no-effect', code } };
  if (UNKNOWN.has(code) || extensions === undefined) return { saw: { kind: 'unknown', code } };
  const turnNow = typeof extensions['turn'] === 'number' ? extensions['turn'] : undefined;
  if (turnNow === undefined) return { saw: { kind: 'refused', code } };
  const moment = extensions['moment'] as Shown['moment'] | undefined;
  const now = moment === undefined ? {} : { now: { turn: turnNow, passageId: moment.passage.id } };
  return { saw: { kind: 'refused', code, turnNow }, ...now };
}
