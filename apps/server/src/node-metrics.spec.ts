import { NodeMetrics } from './metrics.js';

describe('a gauge', () => {
  it('shows only what is there now', async () => {
    const metrics = new NodeMetrics();
    let partitions = ['0', '1'];
    let parked: number | undefined = 3;
    metrics.gauge('fabula_hot_streams', () => partitions.map((partition) => ({ labels: { partition }, value: 5 })));
    metrics.gauge('fabula_parked_streams', () => (parked === undefined ? [] : [{ labels: {}, value: parked }]));
    const lines = async (): Promise<string[]> =>
      (await metrics.registry.metrics()).split('\n').filter((line) => /^fabula_(hot|parked)_streams/.test(line));
    expect(await lines()).toEqual([
      'fabula_hot_streams{partition="0"} 5',
      'fabula_hot_streams{partition="1"} 5',
      'fabula_parked_streams 3',
    ]);
    partitions = ['1'];
    parked = undefined;
    expect(await lines()).toEqual(['fabula_hot_streams{partition="1"} 5']);
  });
});
