import type { Row } from './row.js';

/** Every row, by the name that `--rows` takes, in the order they are run. Loaded only where it runs: each has a process of its own. */
export const rows: {
  readonly [name: string]: { readonly about: string; readonly needs?: 'kafka'; readonly load: () => Promise<Row> };
} = {
  commands: {
    about: 'commands through the engine on the Postgres log, and their p99, beside Emmett and a group commit',
    load: async () => (await import('./rows/commands.js')).commands,
  },
  cold: { about: 'commands to playthroughs that nobody holds in memory', load: async () => (await import('./rows/cold.js')).cold },
  'long-streams': {
    about: 'command rate of playthroughs of 200 commands beside those of 20',
    load: async () => (await import('./rows/long-streams.js')).longStreams,
  },
  rebuild: { about: 'read models built anew, equal byte for byte', load: async () => (await import('./rows/rebuild.js')).rebuildRow },
  turn: { about: 'a story turn in process beside inkjs', load: async () => (await import('./rows/turn.js')).turn },
  memory: { about: 'memory per open playthrough beside inkjs', load: async () => (await import('./rows/memory.js')).memory },
  audit: {
    about: 'commands with and without the auditor, and its leaves beside a naive hash chain',
    load: async () => (await import('./rows/audit.js')).audit,
  },
  'audit-http': {
    about: 'choices over HTTP through the real server with all roles beside one without auditor and signer',
    load: async () => (await import('./rows/audit-http.js')).auditHttp,
  },
  http: {
    about: 'choices over HTTP through the real server beside a bare Fastify POST',
    load: async () => (await import('./rows/http.js')).http,
  },
  guard: { about: 'a compiled guard beside a closure written by hand', load: async () => (await import('./rows/guard.js')).guard },
  'kafka-commands': {
    about: 'commands through the engine on a Kafka log, and their p50, beside a bare kafkajs producer and Emmett on Postgres',
    needs: 'kafka',
    load: async () => (await import('./rows/kafka-commands.js')).kafkaCommands,
  },
  'kafka-cold': {
    about: 'from nothing to the first answered command on a Kafka log with a tail, beside a bare read of the tail',
    needs: 'kafka',
    load: async () => (await import('./rows/kafka-cold.js')).kafkaCold,
  },
  'kafka-rebuild': {
    about: 'read models built anew from a Kafka log beside a bare kafkajs fold',
    needs: 'kafka',
    load: async () => (await import('./rows/kafka-rebuild.js')).kafkaRebuild,
  },
  'kafka-takeover': {
    about: 'from kill -9 of an owner to the first command taken for each of its partitions, real servers',
    needs: 'kafka',
    load: async () => (await import('./rows/kafka-takeover.js')).kafkaTakeover,
  },
};
