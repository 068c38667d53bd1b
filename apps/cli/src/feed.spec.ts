import { recorded, server } from './testing/recorded.js';

const URL_AND_TOKEN = ['--url', 'http://fabula.test', '--token', 't'];
const partition = (n: number, more: object = {}) => ({ partition: n, nextOffset: 5, end: 9, lagRecords: 4, foreign: false, ...more });

describe('fabula feed', () => {
  test('status shows each partition, what holds it up, and ends with 1 where somebody must say from where', async () => {
    const problem = 'the record at offset 5 has no verdict yet: the auditor has not reached it';
    const publisher = [{ partition: 0, state: 'waiting', nextOffset: 5, lastTime: 0, events: 3, problem }];
    const healthy = { topic: 'fabula.events', partitions: [partition(0), partition(1)], publisher };
    const first = await recorded(['feed', 'status', ...URL_AND_TOKEN], server({ 'GET /admin/feed': healthy }));
    expect(first).toMatchObject({ code: 0, out: expect.stringMatching(/fabula\.events[^]*waiting[^]*elsewhere[^]*has not reached it/) });
    const foreign = { ...healthy, partitions: [partition(0), partition(1, { foreign: true })] };
    const second = await recorded(['feed', 'status', ...URL_AND_TOKEN], server({ 'GET /admin/feed': foreign }));
    expect(second).toMatchObject({ code: 1, out: expect.stringContaining('not of this log') });
  });

  test('reset sends from where to go on, and will not guess it', async () => {
    const { fetch, bodies } = server({
      'POST /admin/feed/reset': { topic: 'fabula.events', partitions: [partition(0, { nextOffset: 0 })] },
    });
    const { code } = await recorded(['feed', 'reset', '--to', 'start', ...URL_AND_TOKEN], { fetch });
    expect([code, bodies.map((body) => JSON.parse(body ?? '') as unknown)]).toEqual([0, [{ to: 'start' }]]);
    expect((await recorded(['feed', 'reset', ...URL_AND_TOKEN], { fetch })).code).toBe(2);
    expect((await recorded(['feed', 'reset', '--to', 'middle', ...URL_AND_TOKEN], { fetch })).code).toBe(2);
  });
});
