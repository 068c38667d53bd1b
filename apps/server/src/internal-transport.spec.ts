import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Pool } from 'pg';
import { NotOwner, type CommandRequest } from '#lib/engine';
import { InternalTransport } from './internal-transport.js';

const command: CommandRequest = {
  stream: 'playthrough/p',
  commandId: 'c:1',
  digestInput: null,
  command: { type: 'choose', choiceId: 'walk', turn: 0 },
  actor: { id: 'r', role: 'reader' },
  correlationId: 'c',
  causationId: null,
};

const listening = (server: Server): Promise<string> =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)));

describe('a command on its way to another process', () => {
  let transport: InternalTransport;
  beforeAll(async () => {
    const pool = { query: () => Promise.resolve({ rows: [{ secret: 's' }] }) };
    transport = await InternalTransport.open(pool as unknown as Pool);
  });
  afterAll(() => transport.close());

  it('that nobody listens to was not sent: the owner is gone, and nothing happened', async () => {
    const server = createServer();
    const address = await listening(server);
    await new Promise((resolve) => server.close(resolve));
    await expect(transport.send(address, command, 1_000)).rejects.toThrow(NotOwner);
  });

  it('whose connection is cut may have arrived: nobody says that nothing happened', async () => {
    const server = createServer((socket) => socket.once('data', () => socket.destroy()));
    const address = await listening(server);
    const error: unknown = await transport.send(address, command, 1_000).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(NotOwner);
    await new Promise((resolve) => server.close(resolve));
  });
});
