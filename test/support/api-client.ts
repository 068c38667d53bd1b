import { randomUUID } from 'node:crypto';

export interface GraphqlAnswer<T> {
  readonly data: T | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly extensions: {
      readonly code: string;
      readonly retryable: boolean;
      readonly correlationId: string;
      readonly [more: string]: unknown;
    };
  }[];
}

export interface PlayedMoment {
  readonly passage: { readonly id: string; readonly title: string; readonly text: string };
  readonly choices: readonly {
    readonly id: string;
    readonly label: string;
    readonly enabled: boolean;
    readonly reason: string | null;
    readonly kind: string;
  }[];
  readonly deadline: string | null;
  readonly ending: string | null;
}
export interface PlayedPlaythrough {
  readonly id: string;
  readonly turn: number;
  readonly status: 'ACTIVE' | 'ENDED';
  readonly stateHash: string;
  readonly position: string;
  readonly moment: PlayedMoment;
}
export interface Payload {
  readonly playthrough: PlayedPlaythrough;
  readonly turn: number;
  readonly position: string;
  readonly duplicate: boolean;
  readonly correlationId: string;
}

const PLAYTHROUGH = `id turn status stateHash position moment { passage { id title text } choices { id label enabled reason kind } deadline ending }`;
const PAYLOAD = `{ playthrough { ${PLAYTHROUGH} } turn position duplicate correlationId }`;

/** A GraphQL error as the client sees it. */
export class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly extensions: Readonly<Record<string, unknown>>,
  ) {
    super(`${code}: ${message}`);
  }
}

/** A reader's client over HTTP: the public API and nothing else. */
export class ApiClient {
  constructor(
    readonly url: string,
    readonly token: string,
  ) {}

  async graphql<T>(query: string, variables: object = {}, headers: Record<string, string> = {}): Promise<GraphqlAnswer<T>> {
    const response = await fetch(`${this.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${this.token}`, ...headers },
      body: JSON.stringify({ query, variables }),
    });
    return (await response.json()) as GraphqlAnswer<T>;
  }

  /** @throws Refused with the code of the first error */
  async data<T>(query: string, variables: object = {}): Promise<T> {
    const { data, errors } = await this.graphql<T>(query, variables);
    const [error] = errors ?? [];
    if (error !== undefined) throw new Refused(error.extensions.code, error.message, error.extensions);
    return data as T;
  }

  async start(storyId: string, commandId: string = randomUUID(), more: object = {}): Promise<Payload> {
    return this.mutation('startPlaythrough', 'StartPlaythroughInput', { storyId, commandId, ...more });
  }
  async choose(playthroughId: string, choiceId: string, turn: number, commandId: string = randomUUID()): Promise<Payload> {
    return this.mutation('choose', 'ChooseInput', { playthroughId, choiceId, turn, commandId });
  }
  async rewind(playthroughId: string, toTurn: number, turn: number, commandId: string = randomUUID()): Promise<Payload> {
    return this.mutation('rewind', 'RewindInput', { playthroughId, toTurn, turn, commandId });
  }
  async fork(playthroughId: string, atTurn: number, commandId: string = randomUUID()): Promise<Payload> {
    return this.mutation('fork', 'ForkInput', { playthroughId, atTurn, commandId });
  }
  async setCheckpoint(playthroughId: string, name: string, turn: number, commandId: string = randomUUID()): Promise<Payload> {
    return this.mutation('setCheckpoint', 'SetCheckpointInput', { playthroughId, name, turn, commandId });
  }
  async playthrough(id: string, minPosition?: readonly string[]): Promise<PlayedPlaythrough | null> {
    const query = `query ($id: ID!, $minPosition: [Position!]) { playthrough(id: $id, minPosition: $minPosition) { ${PLAYTHROUGH} } }`;
    return (await this.data<{ playthrough: PlayedPlaythrough | null }>(query, { id, minPosition })).playthrough;
  }

  async rest(
    method: string,
    path: string,
    body?: string | object,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: unknown; text: string; headers: Headers }> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { 'content-type': typeof body === 'string' ? 'text/plain' : 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson =
      response.headers.get('content-type')?.includes('json') === true && !response.headers.get('content-type')?.includes('ndjson');
    return { status: response.status, text, body: isJson ? (JSON.parse(text) as unknown) : undefined, headers: response.headers };
  }

  private async mutation(name: string, type: string, input: object): Promise<Payload> {
    const data = await this.data<Record<string, Payload>>(`mutation ($input: ${type}!) { ${name}(input: $input) ${PAYLOAD} }`, { input });
    return data[name] as Payload;
  }
}
