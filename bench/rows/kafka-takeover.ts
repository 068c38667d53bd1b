import { randomUUID } from 'node:crypto';
import { copyFile, cp, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { request } from 'undici';
import { partitionOf } from '#lib/decision';
import { playthroughStream } from '#lib/playthrough';
// Of a room's inside: the bench wants the very time that servers run with.
import { GROUP_TIMING } from '../../libs/engine/src/ownership/kafka/group-member.js';
import { createDatabase } from '../databases.js';
import { PARTITIONS } from '../fabula/engine-side.js';
import { publishRooms } from '../http/publish-rooms.js';
import { startServerProcess, type ServerProcess } from '../http/server-process.js';
import { brokersOf, topicName } from '../kafka/kafka-side.js';
import { median } from '../measure/rounds.js';
import { verify, type Row } from '../row.js';
import { choiceAt } from '../story/room-story.js';

const KEYS = ['development-issuer.json', 'audit-signing.key'];
const ALLOWED_MS = GROUP_TIMING.sessionTimeoutMs + 1_000;
const PATIENCE_MS = 60_000;
const PAUSE_MS = 20;

/** Two real servers; the one that owns half of the partitions is killed, readers go on at the other, from kill to the last one's next turn. */
export const kafkaTakeover: Row = async (context) => {
  const databaseUrl = await createDatabase(context, 'kafka_takeover', 'empty');
  const topic = topicName('takeover');
  const env = {
    ...{ FABULA_LOG: 'kafka', KAFKA_BROKERS: brokersOf(context).brokers.join(','), FABULA_KAFKA_ALLOW_UNSAFE: 'on' },
    ...{ FABULA_KAFKA_TOPIC: topic, FABULA_KAFKA_FEED_TOPIC: `${topic}.feed`, FABULA_PARTITIONS: String(PARTITIONS) },
  };
  const dirs = [0, 1].map((i) => path.join(context.folder, `takeover-${i}`)) as [string, string];
  const start = (i: 0 | 1): Promise<ServerProcess> => startServerProcess(dirs[i], databaseUrl, { env });
  const servers: [ServerProcess, ServerProcess | undefined] = [await start(0), undefined];
  try {
    await mkdir(dirs[1], { recursive: true });
    for (const key of KEYS) await copyFile(path.join(dirs[0], key), path.join(dirs[1], key));
    await cp(path.join(dirs[0], 'keks'), path.join(dirs[1], 'keks'), { recursive: true });
    const second = await start(1);
    servers[1] = second;
    await publishRooms(servers[0]);
    const token = await servers[0].issuer.mintToken({ sub: 'bench-reader', roles: ['reader'] });
    const operator = await servers[0].issuer.mintToken({ sub: 'bench-operator', roles: ['operator'] });
    const taken: number[] = [];
    let moved = 0;
    for (let round = 0; round < context.rounds; round++) {
      const victim = (round % 2) as 0 | 1;
      const [dying, living] = [servers[victim], servers[1 - victim]] as [ServerProcess, ServerProcess];
      const owned = await sharedOut(dying, operator);
      const readers = await Promise.all(owned.map((partition) => startedOn(dying, token, partition)));
      const begun = performance.now();
      await dying.kill();
      const answered = await Promise.all(readers.map((id) => nextTurn(living, token, id).then(() => performance.now() - begun)));
      taken.push(Math.max(...answered));
      moved += owned.length;
      context.progress(`round ${round + 1}: ${owned.length} partitions taken over within ${Math.round(taken.at(-1) ?? 0)} ms`);
      servers[victim] = await start(victim);
    }
    const samples = (values: readonly number[]) => ({ median: median(values), samples: values, cpuMicrosPerOperation: 0 });
    return [
      {
        row: 'kafka-takeover',
        unit: 'ms',
        goals: [{ to: 'floor', atMost: 1 }],
        sides: { fabula: samples(taken), floor: samples(taken.map(() => ALLOWED_MS)) },
        verified: [verify('a command was taken on every partition of each killed owner', moved >= context.rounds, String(moved))],
        floor: 'what is allowed: the session timeout and 1 s',
        extra: { sessionTimeoutMs: GROUP_TIMING.sessionTimeoutMs, partitionsMoved: moved, longestMs: Math.round(Math.max(...taken)) },
      },
    ];
  } finally {
    await Promise.all(servers.map((server) => server?.kill()));
  }
};

/** Waits until the partitions are shared evenly and answers those of this server. */
async function sharedOut({ url }: ServerProcess, operator: string): Promise<readonly number[]> {
  for (const deadline = performance.now() + PATIENCE_MS; ; await pause(100)) {
    const { body } = await request(`${url}/admin/projections`, { headers: { authorization: `Bearer ${operator}` } });
    const { partitions } = (await body.json()) as { partitions: readonly { partition: number; owner: string | null }[] };
    const own = partitions.filter(({ owner }) => owner === 'self').map(({ partition }) => partition);
    if (own.length === PARTITIONS / 2 && partitions.every(({ owner }) => owner !== null)) return own;
    if (performance.now() > deadline) throw new Error(`the partitions are not shared out: ${JSON.stringify(partitions)}`);
  }
}

/** A playthrough that lies on that partition. */
async function startedOn(server: ServerProcess, token: string, partition: number): Promise<string> {
  for (;;) {
    const id = await accepted(server, token, 'startPlaythrough', 'StartPlaythroughInput', { storyId: 'rooms' });
    if (partitionOf(playthroughStream(id), PARTITIONS) === partition) return id;
  }
}

const nextTurn = (server: ServerProcess, token: string, playthroughId: string): Promise<string> =>
  accepted(server, token, 'choose', 'ChooseInput', { playthroughId, choiceId: choiceAt(1), turn: 0 });

/** Sends the command, always the same one, until it is accepted, and answers the playthrough. */
async function accepted({ url }: ServerProcess, token: string, mutation: string, type: string, input: object): Promise<string> {
  const query = `mutation ($input: ${type}!) { ${mutation}(input: $input) { playthrough { id } } }`;
  const body = JSON.stringify({ query, variables: { input: { ...input, commandId: randomUUID() } } });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  let last = '';
  for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; await pause(PAUSE_MS)) {
    try {
      const response = await request(`${url}/graphql`, { method: 'POST', headers, body });
      last = await response.body.text();
    } catch (error) {
      last = String(error);
      continue;
    }
    const { data } = JSON.parse(last) as { data?: { [field: string]: { playthrough: { id: string } } | null } | null };
    const id = data?.[mutation]?.playthrough.id;
    if (id !== undefined) return id;
  }
  throw new Error(`${mutation} was not accepted in time: ${last.slice(0, 500)}`);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
