import type { Change } from '#lib/engine';
import { FabulaError } from '#lib/platform';
import type { FabulaNode } from '../node.js';
import { followPlaythrough } from './live-playthrough.js';

const ID = '00000000-0000-4000-8000-000000000001';
const outage = () => Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
const stateAt = (turn: number) => ({ id: ID, reader: 'ada', turn, status: 'active', versionHash: `v${turn}`, forkedFrom: null });

/** A process that holds the playthrough in memory, its database away; `contents` says what becomes of looking up a version. */
function processHolding(contents: (versionHash: string) => Promise<object>) {
  let changed: (change: Change) => void = () => undefined;
  const ended: string[] = [];
  const node = {
    metrics: { subscribed: () => () => ended.push('counting') },
    onChanged: (listener: (change: Change) => void) => {
      changed = listener;
      return () => ended.push('listening');
    },
    watch: { follow: () => () => ended.push('watching') },
    reads: { playthrough: () => Promise.reject(outage()) },
    hot: () => stateAt(0),
    partitionOf: () => 0,
    logger: { debug: () => undefined },
    content: contents,
    stateHash: ({ turn }: { turn: number }) => `hash of ${turn}`,
    positionToken: (partition: number, offset: number) => `${partition}/${offset}`,
  } as unknown as FabulaNode;
  const abort = new AbortController();
  const caller = { actor: 'ada', roles: new Set(['reader'] as const), expiresAt: Infinity };
  const follow = () => followPlaythrough(node, { caller, correlationId: 'c', access: {} }, ID, abort.signal);
  const change = (turn: number, offset: number) =>
    changed({ stream: `playthrough/${ID}`, state: stateAt(turn), partition: 0, offset } as unknown as Change);
  return { follow, change, abort, ended };
}

describe('A followed playthrough', () => {
  it('is sent on after an outage of the database in which it changed', async () => {
    let failures = 0;
    const { follow, change, abort, ended } = processHolding((versionHash) =>
      versionHash === 'v1' && failures++ === 0 ? Promise.reject(outage()) : Promise.resolve({}),
    );
    const source = follow();
    expect((await source.next()).value).toMatchObject({ turn: 0 });
    const next = source.next();
    change(1, 5);
    expect((await next).value).toMatchObject({ turn: 1, position: '0/5' });
    expect(failures).toBe(2);
    const last = source.next();
    abort.abort();
    expect((await last).done).toBe(true);
    expect(ended).toEqual(['counting', 'listening', 'watching']);
  });

  it('is not followed on when something is wrong that will not pass', async () => {
    const { follow, change, ended } = processHolding((versionHash) =>
      versionHash === 'v1' ? Promise.reject(new FabulaError('INTERNAL', 'gone')) : Promise.resolve({}),
    );
    const source = follow();
    await source.next();
    const next = source.next();
    change(1, 5);
    await expect(next).rejects.toThrow('gone');
    expect(ended).toHaveLength(3);
  });
});
