import { randomUUID } from 'node:crypto';
import {
  Metadata,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { GossipService } from '@eventstore/db-client/generated/gossip_grpc_pb.js';
import { ClusterInfo, EndPoint, MemberInfo } from '@eventstore/db-client/generated/gossip_pb.js';
import { ServerFeaturesService } from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js';
import { SupportedMethod, SupportedMethods } from '@eventstore/db-client/generated/serverfeatures_pb.js';
import { Empty, StreamIdentifier, UUID } from '@eventstore/db-client/generated/shared_pb.js';
import { StreamsService } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import {
  AppendReq,
  AppendResp,
  DeleteReq,
  DeleteResp,
  ReadReq,
  ReadResp,
  TombstoneReq,
  TombstoneResp,
} from '@eventstore/db-client/generated/streams_pb.js';
import { freePort } from '#lib/platform';
import { MockStreams, newGate, type Expected, type MockEvent, type Refusal } from './eventstoredb-mock-streams.js';

/**
 * A MOCK of EventStoreDB, for tests on machines that have none: it speaks the published gRPC protocol (the definitions that the
 * client carries) and keeps streams in memory. What it answers was taken from the protocol and the client, not from a server.
 */
export interface EventStoreDbMock {
  readonly url: string;
  readonly port: number;
  readonly streams: MockStreams;
  /** Names of the methods called so far. */
  readonly calls: readonly string[];
  /** Events sent to readers so far. */
  eventsSent(): number;
  /** Appends wait before they are carried out, until the answered function is called. */
  holdAppends(): () => void;
  /** Whether writers may write. */
  allowWrites(allowed: boolean): void;
  /** Ends every call and takes no more, as a server that is stopped. */
  stop(): Promise<void>;
  /** With the same streams, on the same port. */
  start(): Promise<void>;
}

/** Batch append is announced, as real servers do, but not spoken: the adapter must not use it (see `connectEventStore`). */
const ANNOUNCED = ['read', 'append', 'batchappend', 'delete', 'tombstone'];

export async function startEventStoreDbMock(): Promise<EventStoreDbMock> {
  const port = await freePort();
  const streams = new MockStreams();
  const calls: string[] = [];
  let gate: Promise<void> = Promise.resolve();
  let writable = true;
  let sent = 0;
  let server: Server | undefined;

  const append = async (call: ServerReadableStream<AppendReq, AppendResp>, answer: sendUnaryData<AppendResp>): Promise<void> => {
    calls.push('append');
    let options: AppendReq.Options | undefined;
    const events: MockEvent[] = [];
    for await (const part of call as AsyncIterable<AppendReq>) {
      options ??= part.getOptions();
      const message = part.getProposedMessage();
      if (message !== undefined) events.push(eventOf(message));
    }
    await gate;
    if (!writable) return answer(failure(status.PERMISSION_DENIED, 'access-denied'));
    const stream = nameOf(options?.getStreamIdentifier());
    const expected = expectedOf(options);
    const outcome = streams.append(stream, expected, events);
    const response = new AppendResp();
    if (outcome.kind === 'appended') {
      const success = new AppendResp.Success().setCurrentRevision(`${outcome.revision}`).setNoPosition(new Empty());
      return answer(null, response.setSuccess(success));
    }
    if (outcome.kind !== 'wrong') return answer(refusal(outcome, stream));
    const wrong = new AppendResp.WrongExpectedVersion();
    if (outcome.actual === -1) wrong.setCurrentNoStream(new Empty());
    else wrong.setCurrentRevision(`${outcome.actual}`);
    if (expected.kind === 'revision') wrong.setExpectedRevision(`${expected.revision}`);
    else if (expected.kind === 'no-stream') wrong.setExpectedNoStream(new Empty());
    else wrong.setExpectedAny(new Empty());
    answer(null, response.setWrongExpectedVersion(wrong));
  };

  const read = async (call: ServerWritableStream<ReadReq, ReadResp>): Promise<void> => {
    calls.push('read');
    const options = call.request.getOptions();
    const from = options?.getStream();
    const stream = nameOf(from?.getStreamIdentifier());
    const gone = new Promise((resolve) => call.once('cancelled', resolve).once('close', resolve));
    const send = async (response: ReadResp): Promise<void> => {
      if (response.hasEvent()) sent++;
      if (!call.write(response)) await Promise.race([gone, new Promise((resolve) => call.once('drain', resolve))]);
    };
    const state = streams.state(stream);
    if (state.kind === 'tombstoned') return void call.emit('error', refusal(state, stream));
    if (options?.hasSubscription() === true) {
      let next = from?.hasRevision() === true ? Number(from.getRevision()) + 1 : from?.hasEnd() === true ? state.end : 0;
      await send(new ReadResp().setConfirmation(new ReadResp.SubscriptionConfirmation().setSubscriptionId(randomUUID())));
      for (let live = false; !call.cancelled && !call.destroyed;) {
        const grown = streams.grown(stream);
        const events = streams.read(stream, next, 100);
        for (const event of events) await send(responseOf(stream, event));
        next = (events.at(-1)?.revision ?? next - 1) + 1;
        if (events.length > 0) continue;
        if (!live) await send(new ReadResp().setCaughtUp(new ReadResp.CaughtUp()));
        live = true;
        await Promise.race([grown, gone]);
      }
      return;
    }
    const count = Number(options?.getCount() ?? 0);
    if (state.end === state.begin) {
      const missing = new ReadResp.StreamNotFound().setStreamIdentifier(identifier(stream));
      await send(new ReadResp().setStreamNotFound(missing));
    } else if (options?.getReadDirection() === ReadReq.Options.ReadDirection.BACKWARDS) {
      const last = from?.hasRevision() === true ? Number(from.getRevision()) : state.end - 1;
      const events = streams.read(stream, Math.max(state.begin, last - count + 1), Math.min(count, last + 1));
      for (const event of events.toReversed()) await send(responseOf(stream, event));
    } else {
      for (const event of streams.read(stream, Number(from?.getRevision() || 0), count)) await send(responseOf(stream, event));
    }
    call.end();
  };

  const unavailable = (): void => undefined;
  const streamsService = {
    read: (call: ServerWritableStream<ReadReq, ReadResp>) => void read(call).catch((error: unknown) => call.emit('error', error)),
    append: (call: ServerReadableStream<AppendReq, AppendResp>, answer: sendUnaryData<AppendResp>) =>
      // A caller that went away gets no answer.
      void append(call, answer).catch(unavailable),
    batchAppend: (call: { emit(event: 'error', error: ServiceError): void }) => {
      calls.push('batchAppend');
      call.emit('error', failure(status.UNIMPLEMENTED, 'batch append is not spoken by this mock'));
    },
    delete: (call: ServerUnaryCall<DeleteReq, DeleteResp>, answer: sendUnaryData<DeleteResp>) => {
      streams.delete(nameOf(call.request.getOptions()?.getStreamIdentifier()));
      answer(null, new DeleteResp());
    },
    tombstone: (call: ServerUnaryCall<TombstoneReq, TombstoneResp>, answer: sendUnaryData<TombstoneResp>) => {
      streams.tombstone(nameOf(call.request.getOptions()?.getStreamIdentifier()));
      answer(null, new TombstoneResp());
    },
  } as UntypedServiceImplementation;

  const features = {
    getSupportedMethods: (_call: unknown, answer: sendUnaryData<SupportedMethods>) => {
      calls.push('getSupportedMethods');
      const methods = ANNOUNCED.map((name) =>
        new SupportedMethod().setMethodName(name).setServiceName('event_store.client.streams.streams'),
      );
      answer(null, new SupportedMethods().setEventStoreServerVersion('24.10.0-mock').setMethodsList(methods));
    },
  } as UntypedServiceImplementation;

  const gossip = {
    read: (_call: unknown, answer: sendUnaryData<ClusterInfo>) => {
      calls.push('gossip');
      const leader = new MemberInfo()
        .setInstanceId(new UUID().setString(randomUUID()))
        .setState(MemberInfo.VNodeState.LEADER)
        .setIsAlive(true)
        .setHttpEndPoint(new EndPoint().setAddress('127.0.0.1').setPort(port));
      answer(null, new ClusterInfo().setMembersList([leader]));
    },
  } as UntypedServiceImplementation;

  const start = async (): Promise<void> => {
    const starting = new Server();
    starting.addService(StreamsService, streamsService);
    starting.addService(ServerFeaturesService, features);
    starting.addService(GossipService, gossip);
    await new Promise<void>((resolve, reject) =>
      starting.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) => (error === null ? resolve() : reject(error))),
    );
    server = starting;
  };
  await start();
  return {
    url: `esdb://127.0.0.1:${port}?tls=false`,
    port,
    streams,
    calls,
    eventsSent: () => sent,
    holdAppends() {
      const { promise, resolve } = newGate();
      gate = promise;
      return resolve;
    },
    allowWrites(allowed) {
      writable = allowed;
    },
    start,
    async stop() {
      server?.forceShutdown();
      server = undefined;
    },
  };
}

function eventOf(message: AppendReq.ProposedMessage): MockEvent {
  const metadata = message.getMetadataMap();
  return {
    id: message.getId()?.getString() ?? '',
    type: metadata.get('type') ?? '',
    contentType: metadata.get('content-type') ?? '',
    data: message.getData_asU8(),
    metadata: message.getCustomMetadata_asU8(),
  };
}

function expectedOf(options: AppendReq.Options | undefined): Expected {
  if (options?.hasRevision() === true) return { kind: 'revision', revision: Number(options.getRevision()) };
  if (options?.hasNoStream() === true) return { kind: 'no-stream' };
  return options?.hasStreamExists() === true ? { kind: 'stream-exists' } : { kind: 'any' };
}

function responseOf(stream: string, event: MockEvent & { readonly revision: number; readonly created: number }): ReadResp {
  const recorded = new ReadResp.ReadEvent.RecordedEvent()
    .setId(new UUID().setString(event.id))
    .setStreamIdentifier(identifier(stream))
    .setStreamRevision(`${event.revision}`)
    .setPreparePosition('0')
    .setCommitPosition('0')
    .setCustomMetadata(event.metadata)
    .setData(event.data);
  recorded.getMetadataMap().set('type', event.type).set('content-type', event.contentType);
  // Ticks of 100 ns since the epoch.
  recorded.getMetadataMap().set('created', `${BigInt(event.created) * 10_000n}`);
  return new ReadResp().setEvent(new ReadResp.ReadEvent().setEvent(recorded).setNoPosition(new Empty()));
}

function identifier(stream: string): StreamIdentifier {
  return new StreamIdentifier().setStreamName(Buffer.from(stream).toString('base64'));
}

function nameOf(stream: StreamIdentifier | undefined): string {
  return Buffer.from(stream?.getStreamName_asU8() ?? []).toString('utf8');
}

function refusal(refused: Refusal, stream: string): ServiceError {
  return refused.kind === 'tombstoned'
    ? failure(status.FAILED_PRECONDITION, 'stream-deleted', { 'stream-name': stream })
    : failure(status.INVALID_ARGUMENT, 'maximum-append-size-exceeded', { 'maximum-append-size': `${refused.most}` });
}

function failure(code: status, exception: string, more: Readonly<Record<string, string>> = {}): ServiceError {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries({ exception, ...more })) metadata.set(name, value);
  return Object.assign(new Error(exception), { code, details: exception, metadata });
}
