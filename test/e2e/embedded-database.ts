import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Client } from 'pg';

/** Connects to the embedded Postgres of a running server, as only somebody with its data directory can. */
export async function connectToEmbedded(dataDir: string): Promise<Client> {
  const password = (await readFile(path.join(dataDir, 'postgres.password'), 'utf8')).trim();
  const port = (await readFile(path.join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[3];
  const client = new Client({ connectionString: `postgres://fabula:${password}@127.0.0.1:${port}/fabula` });
  await client.connect();
  return client;
}

/** Every row of every table as text, with bytes decoded: where a plain text would be found if it were anywhere. */
export async function everythingStored(client: Client): Promise<string> {
  const { rows: tables } = await client.query<{ schema: string; name: string }>(
    `select schemaname as schema, tablename as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`,
  );
  let text = '';
  for (const { schema, name } of tables) {
    const { rows } = await client.query<Record<string, unknown>>(`select * from "${schema}"."${name}"`);
    for (const row of rows)
      for (const value of Object.values(row)) text += `${Buffer.isBuffer(value) ? value.toString('utf8') : JSON.stringify(value)}\n`;
  }
  return text;
}
