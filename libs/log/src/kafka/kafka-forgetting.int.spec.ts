import { describeWithOwnKafka, startKafka } from '../../../../test/support/kafka.js';
import { readAll } from '../contract/event-log-contract.js';
import { RecordsForgotten } from '../event-log.js';
import { assertBegins } from '../position.js';
import { openKafkaLog } from './kafka-log.js';

const long = process.env['FABULA_TEST_LONG'] === undefined ? test.skip : test;

describeWithOwnKafka('what a broker forgot', () => {
  long('stays forgotten over its restart; after its death it may be back, and the recorded base has it forgotten again', async () => {
    const kafka = await startKafka({ nodes: 1 });
    const open = () =>
      openKafkaLog({ connection: { brokers: kafka.brokers, clientId: 'spec' }, topic: 'log', partitions: 1, allowUnsafe: true });
    try {
      const before = await open();
      await before.append(
        0,
        Array.from({ length: 10 }, (_, index) => ({ key: 'k', value: Buffer.from(`${index}`) })),
      );
      await before.forget(0, 4);
      await before.close();
      await kafka.restart(1);

      const restarted = await open();
      expect([await restarted.begin(0), await restarted.end(0)]).toEqual([4, 10]);
      await expect(readAll(restarted, 0, 3, 10)).rejects.toThrow(RecordsForgotten);
      await restarted.forget(0, 7);
      await restarted.close();
      await kafka.kill(1);
      await kafka.start(1);

      const after = await open();
      // It had noted 4 when it was stopped in order, and notes such bounds once a minute: 7 only if that minute ended just now.
      expect([4, 7]).toContain(await after.begin(0));
      for (const { partition, base } of await assertBegins(after, () => 7)) await after.forget(partition, base);
      expect(await assertBegins(after, () => 7)).toEqual([]);
      expect([
        await after.begin(0),
        (await readAll(after, 0, 7, 10)).length,
        await after.append(0, [{ key: 'k', value: Buffer.from('10') }]),
      ]).toEqual([7, 3, 10]);
      await after.close();
    } finally {
      await kafka.destroy();
    }
  });
});
