import net from 'node:net';
import { freePort } from '#lib/platform';

/** A TCP relay in front of a server that can swallow its answers, and cut every connection. */
export interface CutOffProxy {
  readonly port: number;
  /** From now on nothing that the server says arrives. */
  swallowAnswers(): void;
  /** Breaks every connection; later ones work again. */
  cut(): void;
  close(): Promise<void>;
}

export async function startCutOffProxy(targetPort: number): Promise<CutOffProxy> {
  const sockets = new Set<net.Socket>();
  let swallowing = false;
  const server = net.createServer((caller) => {
    const target = net.connect(targetPort, '127.0.0.1');
    for (const socket of [caller, target]) {
      sockets.add(socket);
      // A cut connection reports an error on its other half; both ends are closed below.
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        caller.destroy();
        target.destroy();
      });
    }
    caller.on('data', (bytes) => target.write(bytes));
    target.on('data', (bytes) => {
      if (!swallowing) caller.write(bytes);
    });
  });
  const port = await freePort();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return {
    port,
    swallowAnswers: () => (swallowing = true),
    cut() {
      for (const socket of sockets) socket.destroy();
      swallowing = false;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
