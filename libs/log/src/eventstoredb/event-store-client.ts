import { EventStoreDBClient } from '@eventstore/db-client';

export type EventStoreClient = EventStoreDBClient;

/** What is changed or used inside the client; all of it exists in 6.2.1, and the specs on the mock fail when it changes. */
interface Inside {
  supports: (...method: unknown[]) => Promise<boolean>;
  handleError: (...failure: unknown[]) => Promise<void>;
  getChannel: () => Promise<{ close(): void }>;
}

/**
 * A client whose failures stay with the call that failed. Two things in 6.2.1 are in the way of that:
 * - its batch append keeps the waiting calls of all clients of the process in one table and clears it whenever any of their
 *   connections fails; an answer that still arrives then is thrown where nobody can catch it, and a lost answer is waited for
 *   without end. It is used only when the server is said to support it, so this client is told that none does: every append
 *   is then a call of its own, with its own deadline;
 * - finding another node of a cluster after a failure can itself fail, in a promise that nobody waits for. The next call
 *   looks again and reports what it finds.
 * @param url as EVENTSTOREDB_URL: `esdb://…`, or `kurrentdb://…`, which is the same
 */
export function connectEventStore(url: string): EventStoreClient {
  const client = parsed(url);
  const inside = inner(client);
  inside.supports = () => Promise.resolve(false);
  const handleError = inside.handleError;
  inside.handleError = (...failure) => handleError(...failure).catch(() => undefined);
  return client;
}

/** Ends what is under way and lets go of the connection. */
export async function disconnectEventStore(client: EventStoreClient): Promise<void> {
  await client.dispose();
  // Looking for a node of a cluster that is gone may take long and then fail: neither is of interest any more.
  void inner(client)
    .getChannel()
    .then((channel) => channel.close())
    .catch(() => undefined);
}

function inner(client: EventStoreClient): Inside {
  return client as unknown as Inside;
}

function parsed(url: string): EventStoreClient {
  try {
    return EventStoreDBClient.connectionString(url.replace(/^kurrentdb/, 'esdb'));
  } catch {
    // The parser's own message repeats parts of the address, and with them passwords.
    throw new Error('EVENTSTOREDB_URL cannot be read: esdb://[name:password@]host:port[,host:port…][?option=value&…] is needed.');
  }
}
