import { randomUUID } from 'node:crypto';
import { EngineFailure, type CommandRequest } from '#lib/engine';
import { FabulaError } from '#lib/platform';
import { encodePosition } from '#lib/projections';
import type { FabulaNode } from '../node.js';
import { StartPlaythrough, StartPlaythroughHandler } from './commands.js';

/** As much of a process as a start needs: its story is retired, and its read models learn of the playthrough when they are waited for. */
function processWith({ begun, catchesUp }: { readonly begun: boolean; readonly catchesUp: boolean }) {
  const sent: CommandRequest[] = [];
  let visible = false;
  const node = {
    stories: { startVersion: () => Promise.reject(new FabulaError('STORY_RETIRED')) },
    hot: () => undefined,
    reads: { playthrough: () => Promise.resolve({ value: visible && begun ? { versionHash: 'v1' } : undefined }) },
    log: { end: () => Promise.resolve(7) },
    partitionOf: () => 0,
    positionToken: (partition: number, offset: number) => encodePosition({ logId: 'log', partition, offset }),
    waiter: {
      waitFor: () => {
        visible = catchesUp;
        return Promise.resolve(catchesUp ? 'visible' : 'not-yet-visible');
      },
    },
    execute: (request: CommandRequest) => {
      sent.push(request);
      return Promise.reject(new EngineFailure('OVERLOADED', 'enough seen'));
    },
  } as unknown as FabulaNode;
  const caller = { actor: 'a', roles: new Set(['reader'] as const), expiresAt: Infinity };
  const start = () =>
    new StartPlaythroughHandler(node).execute(
      new StartPlaythrough({ storyId: 'gone', commandId: randomUUID() }, { caller, correlationId: 'c', access: {} }),
    );
  return { sent, start };
}

describe('A start of a story that was retired since', () => {
  it('is found again although the read models were behind and another process has it', async () => {
    const { sent, start } = processWith({ begun: true, catchesUp: true });
    await expect(start()).rejects.toThrow('enough seen');
    expect(sent).toMatchObject([{ command: { type: 'start', storyId: 'gone', versionHash: 'v1' } }]);
  });
  it('is refused when there was none', async () => {
    const { sent, start } = processWith({ begun: false, catchesUp: true });
    await expect(start()).rejects.toMatchObject({ code: 'STORY_RETIRED' });
    expect(sent).toEqual([]);
  });
  it('is not refused for good while nobody knows', async () => {
    const { start } = processWith({ begun: true, catchesUp: false });
    await expect(start()).rejects.toMatchObject({ code: 'NOT_YET_VISIBLE' });
  });
});
