import type { Pool } from 'pg';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { freePort } from '#lib/platform';
import { createDatabase, openPool } from '../databases.js';
import type { LoadOrder } from '../http/load-client.js';
import { orderLoad } from '../http/order-load.js';
import { publishRooms } from '../http/publish-rooms.js';
import { startServerProcess } from '../http/server-process.js';
import { interleaved } from '../measure/rounds.js';
import { verify, type Row } from '../row.js';

const CONNECTIONS = 32;
const COMMANDS = 20;

/** A choice over HTTP and GraphQL through the real server, all its roles in one process, beside a Fastify POST that does nothing. */
export const http: Row = async (context) => {
  const databaseUrl = await createDatabase(context, 'http', 'empty');
  const server = await startServerProcess(path.join(context.folder, 'http'), databaseUrl, { profile: context.profile });
  const bare = fork(path.join(import.meta.dirname, '../floors/bare-post.js'), [String(await freePort())]);
  const load = fork(path.join(import.meta.dirname, '../http/load-client.js'));
  const pool = await openPool(databaseUrl, 2);
  try {
    const [{ url: bareUrl }] = (await once(bare, 'message')) as [{ url: string }];
    await publishRooms(server);
    const tokens = await Promise.all(
      Array.from({ length: CONNECTIONS }, (_, n) => server.issuer.mintToken({ sub: `bench-${n}`, roles: ['reader'] })),
    );
    let acknowledged = 0;
    const before = await transactionsOf(pool);
    const order = (round: number): Omit<LoadOrder, 'kind' | 'url'> => {
      return { tokens, commands: COMMANDS, ms: 1000 * (round === 0 ? Math.min(3, context.seconds) : context.seconds) };
    };
    const { sides, foreignCpu } = await interleaved(
      {
        fabula: async (round) => {
          const driven = await orderLoad(load, { ...order(round), kind: 'choose', url: server.url });
          acknowledged += driven.operations;
          return driven;
        },
        floor: async (round) => orderLoad(load, { ...order(round), kind: 'post', url: bareUrl }),
      },
      {
        rounds: context.rounds,
        processes: [context.postgres.pid, server.pid, bare.pid ?? 0, load.pid ?? 0],
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)}/s`),
      },
    );
    const transactions = (await transactionsOf(pool)) - before;
    const { rows } = await pool.query<{ count: string }>(`select count(*) from fabula.log_records where key like 'playthrough/%'`);
    return [
      {
        row: 'http',
        unit: 'commands/s',
        goals: [{ to: 'floor', atLeast: 0.2 }],
        sides,
        foreignCpu,
        verified: [
          verify(
            `the log holds ${acknowledged} records of playthroughs, as many as were acknowledged`,
            Number(rows[0]?.count) === acknowledged,
            rows[0]?.count,
          ),
          'every answer named the turn that the command made, and none was a duplicate',
        ],
        floor: 'bare Fastify POST with a schema, the same bodies, the same client',
        extra: {
          connections: CONNECTIONS,
          commandsPerPlaythrough: COMMANDS,
          transactionsPerCommand: Number((transactions / acknowledged).toFixed(2)),
        },
      },
    ];
  } finally {
    for (const child of [load, bare]) if (child.connected) child.disconnect();
    await pool.end();
    await server.stop();
  }
};

/** All of Fabula's, projector's and auditor's among them. */
async function transactionsOf(pool: Pool): Promise<number> {
  // A backend hands its counts in about once a second.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const { rows } = await pool.query<{ n: string }>('select xact_commit as n from pg_stat_database where datname = current_database()');
  return Number(rows[0]?.n);
}
