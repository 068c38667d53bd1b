import type { Pool } from 'pg';
import { fork } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { PROCESS_ROLES } from '#lib/platform';
import { openPool, settle } from '../databases.js';
import { orderLoad } from '../http/order-load.js';
import { publishRooms } from '../http/publish-rooms.js';
import { startServerProcess, type ServerProcess } from '../http/server-process.js';
import { byCpu, interleaved, type Side } from '../measure/rounds.js';
import { verify, type Row, type RowContext, type RowReport } from '../row.js';

const CONNECTIONS = 32;
const COMMANDS = 20;
const LEFT_OUT: readonly string[] = ['auditor', 'signer'];
/** From the last answer to the round's end, longer where work is left: notes are signed every 2 s. The same for both sides, as a server's clocks tick without commands too. */
const FOLLOW_UP_MS = 2_500;
const PATIENCE_MS = 60_000;

/** Each with a Postgres of its own, as `npm start` makes it, so that CPU time can be told apart. */
interface Played {
  readonly server: ServerProcess;
  readonly postgresPid: number;
  readonly pool: Pool;
  readonly tokens: readonly string[];
  readonly audited: boolean;
  acknowledged: number;
}

/** What the audit costs whoever plays over GraphQL: a server with all roles beside one without auditor and signer. */
export const auditHttp: Row = async (context) => {
  const load = fork(path.join(import.meta.dirname, '../http/load-client.js'));
  const played: Played[] = [];
  try {
    const audited = await open(context, true, played);
    const plain = await open(context, false, played);
    let [mostBehind, longestFollowUpMs] = [0, 0];
    const side = (one: Played): Side => {
      return async (round) => {
        const ms = 1000 * (round === 0 ? Math.min(3, context.seconds) : context.seconds);
        const driven = await orderLoad(load, { kind: 'choose', url: one.server.url, tokens: one.tokens, commands: COMMANDS, ms });
        one.acknowledged += driven.operations;
        const answered = performance.now();
        const { log, leaves } = await positions(one.pool);
        await followedUp(one, answered);
        if (one.audited && round > 0) {
          mostBehind = Math.max(mostBehind, log - leaves);
          longestFollowUpMs = Math.max(longestFollowUpMs, performance.now() - answered);
        }
        return driven;
      };
    };
    const { sides, foreignCpu } = await interleaved(
      { fabula: side(audited), floor: side(plain) },
      {
        rounds: context.rounds,
        processes: { fabula: [audited.server.pid, audited.postgresPid], floor: [plain.server.pid, plain.postgresPid] },
        beside: [load.pid ?? 0, context.postgres.pid],
        between: async () => void (await Promise.all(played.map(({ pool }) => settle(pool)))),
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)}/s`),
      },
    );
    const report: RowReport = {
      row: 'audit-http',
      unit: 'commands/s',
      goals: [{ to: 'floor', atLeast: 0.9 }],
      sides,
      foreignCpu,
      verified: [...(await everyCommandAudited(audited)), ...(await nothingAudited(plain))],
      floor: `the same server and commands with FABULA_ROLES without ${LEFT_OUT.join(' and ')}`,
      extra: { connections: CONNECTIONS, mostLeavesBehind: mostBehind, longestFollowUpMs: Math.round(longestFollowUpMs) },
    };
    // Without /proc nobody else's CPU time is known.
    if (foreignCpu === undefined) return [report];
    return [report, { ...report, row: 'audit-http-cpu', unit: 'commands/CPU s', sides: byCpu(sides) }];
  } finally {
    if (load.connected) load.disconnect();
    for (const { pool, server } of played) {
      await pool.end();
      await server.stop();
    }
  }
};

async function open({ folder, profile }: RowContext, audited: boolean, played: Played[]): Promise<Played> {
  const dir = path.join(folder, audited ? 'audit-on' : 'audit-off');
  const roles = PROCESS_ROLES.filter((role) => audited || !LEFT_OUT.includes(role)).join(',');
  const server = await startServerProcess(dir, '', { profile, env: { FABULA_ROLES: roles } });
  try {
    const [pid, , , port] = (await readFile(path.join(dir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n').map(Number);
    const password = (await readFile(path.join(dir, 'postgres.password'), 'utf8')).trim();
    const pool = await openPool(`postgres://fabula:${password}@127.0.0.1:${port}/fabula`, 2);
    const readers = Array.from({ length: CONNECTIONS }, (_, n) => server.issuer.mintToken({ sub: `bench-${n}`, roles: ['reader'] }));
    const one = { server, postgresPid: pid ?? 0, pool, tokens: await Promise.all(readers), audited, acknowledged: 0 };
    played.push(one);
    await publishRooms(server);
    return one;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

interface Positions {
  /** Records of all partitions: in the log, in the read models, in the trees, under signed notes. */
  readonly log: number;
  readonly projected: number;
  readonly leaves: number;
  readonly signed: number;
}

async function positions(pool: Pool): Promise<Positions> {
  // A new server's read models are those of generation 1.
  const { rows } = await pool.query<Record<keyof Positions, string>>(`
    select (select sum(next_offset) from fabula.log_partitions) as log,
           (select sum(next_offset) from projection_1.positions) as projected,
           (select coalesce(sum(size), 0) from fabula.audit_heads where log >= 0) as leaves,
           (select coalesce(sum(size), 0) from (select max(size) as size from fabula.audit_notes where log >= 0 group by log)) as signed`);
  const [row] = rows;
  return { log: Number(row?.log), projected: Number(row?.projected), leaves: Number(row?.leaves), signed: Number(row?.signed) };
}

/** All that follows from a round's commands happens, and is counted, within that round. */
async function followedUp({ pool, audited }: Played, since: number): Promise<void> {
  for (;;) {
    const waited = performance.now() - since;
    const at = await positions(pool);
    const done = at.projected === at.log && (!audited || at.signed === at.log);
    if (done && waited >= FOLLOW_UP_MS) return;
    verify('what follows from a round is done within a minute', waited < PATIENCE_MS, JSON.stringify(at));
    await new Promise((resolve) => setTimeout(resolve, Math.max(250, FOLLOW_UP_MS - waited)));
  }
}

async function everyCommandAudited({ pool, acknowledged }: Played): Promise<readonly string[]> {
  const { rows } = await pool.query<{ records: string; leaves: string }>(`
    select count(*) as records, count(l.log_offset) as leaves from fabula.log_records r
    left join fabula.audit_leaves l on l.log = r.partition and l.log_offset = r."offset" and l.stream = r.key and l.accepted
    where r.key like 'playthrough/%'`);
  const [{ records, leaves } = { records: '', leaves: '' }] = rows;
  const at = await positions(pool);
  return [
    verify(
      `each of the ${acknowledged} accepted commands has its leaf`,
      Number(leaves) === acknowledged && records === leaves,
      `${records}, ${leaves}`,
    ),
    verify('all leaves are under a signed note', at.signed === at.log && at.leaves === at.log, JSON.stringify(at)),
  ];
}

async function nothingAudited({ pool, acknowledged }: Played): Promise<readonly string[]> {
  const { rows } = await pool.query<{ records: string }>(
    `select count(*) as records from fabula.log_records where key like 'playthrough/%'`,
  );
  const { leaves, signed } = await positions(pool);
  return [
    verify(
      `the other server's log holds its ${acknowledged} accepted commands`,
      Number(rows[0]?.records) === acknowledged,
      rows[0]?.records,
    ),
    verify('nothing of it was audited', leaves === 0 && signed === 0, `${leaves}, ${signed}`),
  ];
}
