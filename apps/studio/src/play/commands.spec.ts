import type { GraphqlClient } from '../api/graphql-client.js';
import * as operations from '../api/operations.js';
import { Problem } from '../api/problem.js';
import { isOpen, send, type Wish } from './commands.js';

const names = new Map<unknown, string>(Object.entries(operations).map(([name, operation]) => [operation, name]));

function answering(answer: () => unknown) {
  const sent: unknown[] = [];
  const client: GraphqlClient = {
    run: async (operation, variables) => {
      sent.push([names.get(operation), variables]);
      return answer() as never;
    },
    serverNow: () => 0,
  };
  return { client, sent };
}

describe('a reader’s wish', () => {
  const wishes: readonly Wish[] = [
    { do: 'start', storyId: 's' },
    { do: 'choose', playthroughId: 'p', choiceId: 'c', turn: 3 },
    { do: 'rewind', playthroughId: 'p', toTurn: 1, turn: 3 },
    { do: 'fork', playthroughId: 'p', atTurn: 1 },
    { do: 'setCheckpoint', playthroughId: 'p', name: 'Here', turn: 3 },
  ];
  it('goes out under its command id with exactly the fields of its input', async () => {
    const { client, sent } = answering(() => ({}));
    for (const wish of wishes) await send(client, { commandId: 'id-1', wish });
    expect(sent).toEqual([
      ['startPlaythrough', { input: { storyId: 's', commandId: 'id-1' } }],
      ['choose', { input: { playthroughId: 'p', choiceId: 'c', turn: 3, commandId: 'id-1' } }],
      ['rewind', { input: { playthroughId: 'p', toTurn: 1, turn: 3, commandId: 'id-1' } }],
      ['fork', { input: { playthroughId: 'p', atTurn: 1, commandId: 'id-1' } }],
      ['setCheckpoint', { input: { playthroughId: 'p', name: 'Here', turn: 3, commandId: 'id-1' } }],
    ]);
  });

  it('ends in an outcome whatever is thrown', async () => {
    const { client } = answering(() => {
      throw new TypeError('bug');
    });
    expect(await send(client, { commandId: 'id-1', wish: { do: 'start', storyId: 's' } })).toEqual({
      ok: false,
      problem: new Problem('INTERNAL', 'bug', false),
    });
  });

  it('stays open while the same command may still count, and is closed by a stale turn', () => {
    const open = (code: string, retryable: boolean): boolean => isOpen(new Problem(code, '', retryable));
    expect([open('OUTCOME_UNKNOWN', true), open('NETWORK', true), open('CHOICE_LOCKED', false), open('TURN_STALE', true)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});
