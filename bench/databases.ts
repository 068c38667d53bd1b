import { Client, Pool } from 'pg';
import { runMigrations } from '../migrations/index.js';
import { verify, type RowContext } from './row.js';

const TEMPLATE = 'bench_template';

/** Makes the template that Fabula's databases are copies of. */
export async function prepareTemplate(adminUrl: string): Promise<void> {
  await admin(adminUrl, `create database ${TEMPLATE}`);
  await runMigrations(urlOf(adminUrl, TEMPLATE));
}

/** A database for one side: with Fabula's tables, or empty. */
export async function createDatabase({ postgres }: RowContext, name: string, content: 'fabula' | 'empty'): Promise<string> {
  const database = `bench_${name.replaceAll('-', '_')}`;
  await admin(postgres.adminUrl, `create database ${database}${content === 'fabula' ? ` template ${TEMPLATE}` : ''}`);
  return urlOf(postgres.adminUrl, database);
}

export async function openPool(url: string, max = 10): Promise<Pool> {
  const pool = new Pool({ connectionString: url, max });
  pool.on('error', () => {});
  await assertDurable(pool);
  return pool;
}

/** Figures of a database that may lose what it acknowledged are worth nothing. */
export async function assertDurable(pool: Pool): Promise<void> {
  for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes']) {
    const { rows } = await pool.query<{ value: string }>('select current_setting($1) as value', [setting]);
    verify(`${setting} is on`, rows[0]?.value === 'on', rows[0]?.value);
  }
}

/** So that no side pays for what another one left to write. */
export async function settle(pool: Pool): Promise<void> {
  await pool.query('checkpoint');
}

async function admin(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function urlOf(adminUrl: string, database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}
