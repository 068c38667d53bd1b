import net from 'node:net';
import { once } from 'node:events';
import { FaultProxy } from './fault-proxy.js';

/** Answers each line with the same line, and keeps what arrived in which order. */
async function echo(): Promise<{ readonly port: number; readonly arrived: string[]; close(): Promise<void> }> {
  const arrived: string[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      arrived.push(bytes.toString());
      socket.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  return {
    ...{ port, arrived },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('A fault proxy', () => {
  let server: Awaited<ReturnType<typeof echo>>;
  let proxy: FaultProxy;
  const clients: net.Socket[] = [];
  beforeEach(async () => {
    server = await echo();
    proxy = await FaultProxy.start(server.port, 1);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await proxy.close();
    await server.close();
  });

  const connect = async (): Promise<net.Socket> => {
    const client = net.connect(proxy.port, '127.0.0.1');
    clients.push(client);
    await once(client, 'connect');
    return client;
  };
  const ask = async (client: net.Socket, text: string): Promise<string> => {
    client.write(text);
    return String((await once(client, 'data'))[0]);
  };
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  it('without a fault hands on everything, also the end', async () => {
    const client = await connect();
    expect(await ask(client, 'a')).toBe('a');
    client.end();
    await until(() => proxy.connections.now === 0);
    expect(Object.values(proxy.counts).every((count) => count === 0)).toBe(true);
  });

  it('hands on large amounts whole', async () => {
    const client = await connect();
    let size = 0;
    client.on('data', (bytes) => (size += bytes.length));
    client.write(Buffer.alloc(5_000_000, 1));
    await until(() => size === 5_000_000);
  });

  it('drops answers, but not requests, and breaks such a connection at the end', async () => {
    const client = await connect();
    expect(await ask(client, 'a')).toBe('a');
    proxy.begin({ kind: 'dropResponse' });
    let heard = false;
    client.once('data', () => (heard = true)).on('error', () => {});
    client.write('b');
    await until(() => server.arrived.length === 2 && proxy.counts.dropResponse === 1);
    const closed = new Promise((resolve) => client.once('close', resolve));
    proxy.end();
    await closed;
    expect(heard).toBe(false);
    expect(await ask(await connect(), 'c')).toBe('c');
  });

  it('delays bytes and keeps their order', async () => {
    const client = await connect();
    proxy.begin({ kind: 'delay', ms: 60, jitterMs: 20 });
    const begun = performance.now();
    client.write('a');
    const answer = ask(client, 'b');
    expect((await answer).startsWith('a')).toBe(true);
    expect(performance.now() - begun).toBeGreaterThan(50);
    expect(proxy.counts.delay).toBeGreaterThan(0);
  });

  it('breaks connections, those that come too, until the end', async () => {
    const old = await connect();
    const broken = (client: net.Socket): Promise<unknown> => new Promise((resolve) => client.once('error', resolve));
    const first = broken(old);
    proxy.begin({ kind: 'reset' });
    const next = broken(await connect());
    expect(await first).toMatchObject({ code: 'ECONNRESET' });
    expect(await next).toMatchObject({ code: 'ECONNRESET' });
    expect(proxy.counts.reset).toBe(2);
    proxy.end();
    expect(await ask(await connect(), 'a')).toBe('a');
  });

  it('leaves connections half-open and then breaks some, others go on with what was held back', async () => {
    const many = await Promise.all(Array.from({ length: 16 }, connect));
    proxy.begin({ kind: 'halfOpen' });
    const ends = many.map(
      (client) =>
        new Promise<string>((resolve) => {
          client.once('data', () => resolve('answered')).once('error', () => resolve('broken'));
          client.write('x');
        }),
    );
    const late = await connect();
    const lateAnswer = Promise.race([ask(late, 'y'), once(late, 'error')]);
    expect(await Promise.race([...ends, lateAnswer, new Promise((resolve) => setTimeout(() => resolve('nothing'), 50))])).toBe('nothing');
    await until(() => proxy.counts.halfOpen === 17);
    expect(server.arrived).toEqual([]);
    proxy.end();
    const said = await Promise.all(ends);
    expect(new Set(said)).toEqual(new Set(['answered', 'broken']));
    expect(proxy.counts.halfOpen).toBe(17);
    await lateAnswer.catch(() => undefined);
  });

  it('lets few bytes through when it is slow', async () => {
    const client = await connect();
    proxy.begin({ kind: 'slow', bytesPerSecond: 20_000 });
    const begun = performance.now();
    let size = 0;
    client.on('data', (bytes) => (size += bytes.length));
    client.write(Buffer.alloc(4_000, 1));
    await until(() => size === 4_000);
    expect(performance.now() - begun).toBeGreaterThan(150);
    expect(proxy.counts.slow).toBeGreaterThan(0);
  });

  it('lets a later connection overtake what an earlier one sent, which arrives although its client hung up', async () => {
    const early = await Promise.all(Array.from({ length: 8 }, connect));
    proxy.begin({ kind: 'reorder', ms: 200 });
    for (const client of early) {
      client.on('error', () => {});
      client.write('early');
    }
    await until(() => server.arrived.length > 0);
    for (const client of early) client.destroy();
    const late = await Promise.all(Array.from({ length: 8 }, connect));
    for (const client of late) client.write('late');
    await until(() => server.arrived.filter((text) => text === 'early').length === 8);
    expect(server.arrived.lastIndexOf('early')).toBeGreaterThan(server.arrived.indexOf('late'));
    expect(proxy.counts.reorder).toBeGreaterThan(0);
  });
});
