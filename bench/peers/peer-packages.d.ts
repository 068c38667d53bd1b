/*
 * The parts of the peers' packages that the bench uses. They are installed by `npm run bench` only (bench/packages), so that the types of
 * the project are sound on a fresh clone without them.
 */
declare module '@event-driven-io/emmett' {
  export interface StoredEvent {
    readonly type: string;
    readonly data: object;
    readonly metadata?: { readonly streamName: string; readonly streamPosition: bigint };
  }
  export interface EventStore {
    close(): Promise<void>;
    readonly schema: { migrate(): Promise<unknown> };
  }
  export function CommandHandler<State, Event extends StoredEvent>(options: {
    evolve(state: State, event: Event): State;
    initialState(): State;
  }): (
    store: EventStore,
    id: string,
    handle: (state: State) => Event[],
  ) => Promise<{ readonly newState: State; readonly newEvents: Event[]; readonly nextExpectedStreamVersion: bigint }>;
}

declare module '@event-driven-io/emmett-postgresql' {
  import type { EventStore, StoredEvent } from '@event-driven-io/emmett';
  import type { Pool } from 'pg';
  export function getPostgreSQLEventStore(connectionString: string, options?: { connectionOptions?: { pool: Pool } }): EventStore;
  export interface Projection {
    readonly name?: string;
  }
  export function pongoSingleStreamProjection<Document extends object>(options: {
    readonly canHandle: readonly string[];
    readonly collectionName: string;
    evolve(document: Document, event: StoredEvent): Document;
    initialState(): Document;
  }): Projection;
  export function rebuildPostgreSQLProjections(options: {
    readonly connectionString: string;
    readonly projections: readonly { readonly projection: Projection; readonly startFrom: 'BEGINNING' }[];
  }): {
    start(): Promise<void>;
    close(): Promise<void>;
  };
}

declare module 'inkjs/full' {
  export class Story {
    constructor(json: string);
    readonly canContinue: boolean;
    readonly currentChoices: readonly { readonly text: string; readonly index: number }[];
    readonly variablesState: { [name: string]: unknown };
    readonly state: { toJson(): string; LoadJson(json: string): void };
    ContinueMaximally(): string;
    ChooseChoiceIndex(index: number): void;
  }
  export class Compiler {
    constructor(source: string);
    Compile(): { ToJson(): string };
  }
}
