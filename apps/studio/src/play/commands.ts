import type { GraphqlClient } from '../api/graphql-client.js';
import { choose, fork, rewind, setCheckpoint, startPlaythrough, type Payload } from '../api/operations.js';
import { asProblem, type Problem } from '../api/problem.js';

/** What a reader asks for. `turn` is the one that stood on the page. */
export type Wish =
  | { readonly do: 'start'; readonly storyId: string }
  | { readonly do: 'choose'; readonly playthroughId: string; readonly choiceId: string; readonly turn: number }
  | { readonly do: 'rewind'; readonly playthroughId: string; readonly toTurn: number; readonly turn: number }
  | { readonly do: 'fork'; readonly playthroughId: string; readonly atTurn: number }
  | { readonly do: 'setCheckpoint'; readonly playthroughId: string; readonly name: string; readonly turn: number };

/** A wish under the id that makes sending it again harmless: kept until the server has answered for good. */
export interface Command {
  readonly commandId: string;
  readonly wish: Wish;
}

export type Outcome = { readonly ok: true; readonly payload: Payload } | { readonly ok: false; readonly problem: Problem };

/** Answers that leave it open whether the command counted or will: it keeps its id for the next try. */
export const isOpen = (problem: Problem): boolean => problem.retryable && problem.code !== 'TURN_STALE';

export async function send(client: GraphqlClient, { commandId, wish }: Command): Promise<Outcome> {
  try {
    return { ok: true, payload: await sent(client, commandId, wish) };
  } catch (error) {
    return { ok: false, problem: asProblem(error) };
  }
}

async function sent(client: GraphqlClient, commandId: string, wish: Wish): Promise<Payload> {
  switch (wish.do) {
    case 'start': {
      const { storyId } = wish;
      return (await client.run(startPlaythrough, { input: { storyId, commandId } })).startPlaythrough;
    }
    case 'choose': {
      const { playthroughId, choiceId, turn } = wish;
      return (await client.run(choose, { input: { playthroughId, choiceId, turn, commandId } })).choose;
    }
    case 'rewind': {
      const { playthroughId, toTurn, turn } = wish;
      return (await client.run(rewind, { input: { playthroughId, toTurn, turn, commandId } })).rewind;
    }
    case 'fork': {
      const { playthroughId, atTurn } = wish;
      return (await client.run(fork, { input: { playthroughId, atTurn, commandId } })).fork;
    }
    case 'setCheckpoint': {
      const { playthroughId, name, turn } = wish;
      return (await client.run(setCheckpoint, { input: { playthroughId, name, turn, commandId } })).setCheckpoint;
    }
  }
}
