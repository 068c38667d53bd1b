import { PlaythroughWatch } from './playthrough-watch.js';

/** Read models of two partitions, told by their ids; `round` lets the look that is due run to its end. */
function bench() {
  const due: (() => void)[] = [];
  const asked: string[][] = [];
  const state = { generation: 1, positions: [10, 20], versions: new Map<string, number>(), away: false };
  const asOf = () => {
    if (state.away) return Promise.reject(new Error('connection refused'));
    const partitions = state.positions.map((nextOffset, partition) => ({ partition, nextOffset, lastTime: 0 }));
    return Promise.resolve({ generation: state.generation, logId: 'log', partitions });
  };
  const watch = new PlaythroughWatch({
    reads: {
      asOf,
      playthroughVersions: (ids) => {
        asked.push([...ids]);
        return Promise.resolve(new Map(ids.flatMap((id) => (state.versions.has(id) ? [[id, state.versions.get(id) as number]] : []))));
      },
    },
    partitionOf: (stream) => (stream.startsWith('playthrough/a') ? 0 : 1),
    timers: {
      after: (_ms, callback) => {
        due.push(callback);
        return () => undefined;
      },
    },
    logger: { debug: () => undefined },
  });
  const woken: string[] = [];
  const follow = (id: string) => watch.follow(id, () => woken.push(id));
  const round = async () => {
    due.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
    return woken.splice(0);
  };
  return { state, asked, due, follow, round };
}

describe('Playthroughs that are followed here', () => {
  it('are looked up together, and only where something was projected', async () => {
    const { state, asked, follow, round } = bench();
    for (const id of ['a1', 'a2', 'b1']) {
      state.versions.set(id, 1);
      follow(id);
    }
    follow('a1');
    expect(await round()).toEqual(['a1', 'a1', 'a2', 'b1']);
    expect(await round()).toEqual([]);
    expect(asked).toEqual([['a1', 'a2', 'b1']]);
    state.versions.set('a2', 2);
    state.positions[0] = 11;
    expect(await round()).toEqual(['a2']);
    expect(asked.slice(1)).toEqual([['a1', 'a2']]);
    state.generation = 2;
    expect(await round()).toEqual([]);
    expect(asked.slice(2)).toEqual([['a1', 'a2', 'b1']]);
  });

  it('miss nothing that happens while the database is away', async () => {
    const { state, follow, round } = bench();
    state.versions.set('a1', 1);
    follow('a1');
    await round();
    state.away = true;
    expect(await round()).toEqual([]);
    state.versions.set('a1', 2);
    state.positions[0] = 12;
    expect(await round()).toEqual([]);
    state.away = false;
    expect(await round()).toEqual(['a1']);
  });

  it('cost nothing when nobody follows them any more', async () => {
    const { state, asked, due, follow, round } = bench();
    state.versions.set('a1', 1);
    const stop = follow('a1');
    const stopOther = follow('a1');
    stop();
    expect(await round()).toEqual(['a1']);
    stopOther();
    await round();
    expect([asked.length, due.length]).toEqual([1, 0]);
  });
});
