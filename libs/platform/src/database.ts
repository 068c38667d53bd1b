import { Pool, type PoolClient } from 'pg';

export interface PoolSettings {
  readonly url: string;
  /** Most connections at once. */
  readonly max: number;
  /** The server breaks a statement off after this, ms. */
  readonly statementTimeoutMs: number;
  /** How long an asker waits for a free connection, ms (default 2,000). */
  readonly acquireTimeoutMs?: number;
  readonly applicationName?: string;
  /** An idle connection broke; the pool has already let it go. */
  readonly onIdleError?: (error: Error) => void;
}

/** A bounded pool: every wait in it ends, for a connection, a statement or an answer from a server that fell silent. */
export function createPool(settings: PoolSettings): Pool {
  const pool = new Pool({
    connectionString: settings.url,
    max: settings.max,
    connectionTimeoutMillis: settings.acquireTimeoutMs ?? 2_000,
    idleTimeoutMillis: 30_000,
    statement_timeout: settings.statementTimeoutMs,
    // Ours comes later than the server's, so that a slow statement is normally answered, with its rollback, by the server.
    query_timeout: settings.statementTimeoutMs + 2_000,
    idle_in_transaction_session_timeout: 60_000,
    application_name: settings.applicationName ?? 'fabula',
    keepAlive: true,
  });
  pool.on('error', (error) => settings.onIdleError?.(error));
  // The pool listens to idle connections alone. One that breaks while somebody holds it between two statements would end the process;
  // the holder hears of it from the next statement.
  pool.on('connect', (client) => client.on('error', heardByTheNextStatement));
  return pool;
}

function heardByTheNextStatement(): void {}

/** Runs `work` in one transaction: committed when it resolves, rolled back when it rejects. A connection that fails is not used again. */
export async function withTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  // A lost connection rejects the query under way; without a listener the same news would end the process.
  const lost = () => {};
  client.on('error', lost);
  let broken = true;
  try {
    await client.query('begin');
    try {
      const result = await work(client);
      await client.query('commit');
      broken = false;
      return result;
    } catch (error) {
      // When even this fails the connection is gone, and the server rolls back by itself; the first error says why.
      broken = await client.query('rollback').then(
        () => false,
        () => true,
      );
      throw error;
    }
  } finally {
    client.off('error', lost);
    client.release(broken);
  }
}
