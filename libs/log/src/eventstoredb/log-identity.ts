import { randomUUID } from 'node:crypto';
import type { JSONEventType } from '@eventstore/db-client';
import type { LogId } from '../event-log.js';
import { PartitionCountDiffers } from '../postgres/log-identity.js';
import { LogDamaged } from '../postgres/postgres-log.js';
import { actualEnd } from './append-outcome.js';
import type { EventStoreClient } from './event-store-client.js';
import { collect } from './event-flow.js';
import { readBounds } from './stream-bounds.js';

type LogCreated = JSONEventType<'fabula-log-created', { readonly id: string; readonly partitions: number }>;

export interface StreamNames {
  readonly identity: string;
  partition(partition: number): string;
}

export const streamNames = (prefix: string): StreamNames => ({
  identity: `${prefix}-log`,
  partition: (partition) => `${prefix}-decisions-${partition}`,
});

/**
 * Reads the log's identity, creating the log at first. Many processes may do this at once: the stream must not exist for its
 * first event to be taken, so one creates and all read the same.
 * @throws PartitionCountDiffers, LogDamaged, or what the client says when the server cannot be reached
 */
export async function openIdentity(
  client: EventStoreClient,
  streams: StreamNames,
  wanted: { readonly id: LogId; readonly partitions: number },
  deadlineMs: number,
): Promise<LogId> {
  const found = (await readIdentity(client, streams, deadlineMs)) ?? (await create(client, streams, wanted, deadlineMs));
  if (found.partitions !== wanted.partitions) throw new PartitionCountDiffers(found.partitions, wanted.partitions);
  return found.id;
}

/** Id and partition count of the log that is there, if one is. */
export async function readIdentity(
  client: EventStoreClient,
  streams: StreamNames,
  deadlineMs: number,
): Promise<{ readonly id: LogId; readonly partitions: number } | undefined> {
  const [first] = await collect(
    client.readStream(streams.identity, { fromRevision: 'start', maxCount: 1, requiresLeader: true }),
    deadlineMs,
  );
  if (first === undefined) return undefined;
  const { id, partitions } = (first.event?.data ?? {}) as Partial<Record<string, unknown>>;
  if (typeof id !== 'string' || !Number.isSafeInteger(partitions) || first.event?.revision !== 0n)
    throw new LogDamaged(`The stream ${streams.identity} does not begin with the identity of a log.`);
  return { id, partitions: partitions as number };
}

async function create(
  client: EventStoreClient,
  streams: StreamNames,
  wanted: { readonly id: LogId; readonly partitions: number },
  deadlineMs: number,
): Promise<{ readonly id: LogId; readonly partitions: number }> {
  const created = {
    id: randomUUID(),
    type: 'fabula-log-created',
    contentType: 'application/json',
    data: { id: wanted.id, partitions: wanted.partitions },
    metadata: undefined,
  } as const;
  try {
    await client.appendToStream<LogCreated>(streams.identity, created, {
      expectedRevision: 'no_stream',
      requiresLeader: true,
      deadline: deadlineMs,
    });
  } catch (error) {
    // Another process was first, which is as good.
    if (actualEnd(error) === undefined) throw error;
  }
  const found = await readIdentity(client, streams, deadlineMs);
  if (found === undefined) throw new LogDamaged(`The stream ${streams.identity} was deleted: this log cannot be told from another.`);
  return found;
}

const AUDITED_AT_ONCE = 16;

/**
 * A stream that loses its beginning, unless Fabula forgot that, or was deleted, is no log of record. Said at start, before a reader finds the hole.
 * @throws LogDamaged naming the stream and what to take off
 */
export async function auditStreams(client: EventStoreClient, names: readonly string[], deadlineMs: number): Promise<void> {
  const left = [...names];
  const auditors = Array.from({ length: Math.min(AUDITED_AT_ONCE, names.length) }, async () => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) await audit(client, name, deadlineMs);
  });
  await Promise.all(auditors);
}

async function audit(client: EventStoreClient, name: string, deadlineMs: number): Promise<void> {
  const { limits, begin } = await readBounds(client, name, deadlineMs);
  if (limits.length > 0)
    throw new LogDamaged(
      `The stream ${name} is set to lose records (${limits.join(', ')}): take that off its metadata stream $$${name}. ` +
        'What is already gone must come from a backup of EventStoreDB.',
    );
  const oldest = { fromRevision: 'start', maxCount: 1, requiresLeader: true } as const;
  const [first] = await collect(client.readStream(name, oldest), deadlineMs);
  const revision = first?.event?.revision ?? 0n;
  if (revision > BigInt(begin))
    throw new LogDamaged(
      `The stream ${name} begins at revision ${revision}: what came before is gone. Restore EventStoreDB from a backup.`,
    );
}
