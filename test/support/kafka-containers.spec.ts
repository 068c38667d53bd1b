import { containers } from '../../scripts/kafka/docker.mjs';

/** There is not an engine everywhere; what it would be told can be looked at anywhere. */
describe('Brokers in containers', () => {
  const settingsOf = (args: readonly string[]): Map<string, string> =>
    new Map(args.flatMap((arg, i) => (args[i - 1] === '--env' ? [arg.split(/=(.*)/s).slice(0, 2) as [string, string]] : [])));

  it('know each other, are told apart, and are reached on this machine only', () => {
    const all = containers(3);
    const settings = all.map(({ args }) => settingsOf(args));
    expect(new Set(settings.map((one) => one.get('KAFKA_CONTROLLER_QUORUM_VOTERS'))).size).toBe(1);
    for (const [i, { name, address, args }] of all.entries()) {
      const one = settings[i];
      expect(one?.get('KAFKA_CONTROLLER_QUORUM_VOTERS')).toContain(`${i + 1}@${name}:9093`);
      expect(one?.get('KAFKA_ADVERTISED_LISTENERS')).toBe(`CLIENT://${address},BROKER://${name}:9094`);
      expect(args).toContain(`${address}:${address.split(':')[1]}`);
      expect(address).toMatch(/^127\.0\.0\.1:/);
    }
    expect(new Set(all.map(({ address }) => address)).size).toBe(3);
    expect(settings.map((one) => one.get('KAFKA_BROKER_RACK'))).toEqual(['a', 'b', 'c']);
    expect(settings.map((one) => one.get('KAFKA_MIN_INSYNC_REPLICAS'))).toEqual(['2', '2', '2']);
  });

  it('ask for no more replicas than there are brokers', () => {
    const [one] = containers(1);
    const settings = settingsOf(one?.args ?? []);
    for (const [name, value] of settings) if (/REPLICATION_FACTOR|MIN_I/.test(name)) expect([name, value]).toEqual([name, '1']);
    expect(settings.get('CLUSTER_ID')).toHaveLength(22);
  });
});
