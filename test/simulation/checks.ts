import {
  admissible,
  admit,
  commandDigest,
  decodeRecord,
  EMPTY_HEAD,
  type DecisionRecord,
  type StreamHead,
  type Verdict,
} from '#lib/decision';
import { Auditor, MemoryAuditStore } from '#lib/audit';
import type { CommandRequest } from '#lib/engine';
import type { StoredRecord } from '#lib/log';
import { applyRecorded, stateHash, stateToJson, type PlaythroughState } from '#lib/playthrough';
import { MemoryProjection, Projector, TABLE_NAMES } from '#lib/projections';
import type { World } from './world.js';

interface AcceptedRecord {
  readonly offset: number;
  readonly partition: number;
  readonly version: number;
  readonly turn: number;
  readonly stateHash: string;
  readonly record: DecisionRecord;
}

interface FoldedStream {
  head: StreamHead;
  state: PlaythroughState | null;
  lastAt: number;
  readonly accepted: Map<string, AcceptedRecord>;
}

/** A fold of the whole log: what is true, whatever anybody answered. */
interface Truth {
  readonly streams: Map<string, FoldedStream>;
  readonly verdicts: Verdict[][];
}

const timers = { after: () => () => undefined };

/** Invariants 1 to 5 of docs/explanation/guarantees.md on one finished run. Answers what is violated; empty is good. */
export async function violations(world: World): Promise<string[]> {
  const wrong: string[] = [];
  const truth = await fold(world, wrong);
  checkAnswers(world, truth, wrong);
  await checkReadModels(world, truth, wrong);
  await checkAudit(world, truth, wrong);
  for (const alarm of world.alarms) wrong.push(`alarm: ${alarm}`);
  return wrong;
}

async function fold(world: World, wrong: string[]): Promise<Truth> {
  const truth: Truth = { streams: new Map(), verdicts: [] };
  for (let partition = 0; partition < world.partitions; partition++) {
    const verdicts: Verdict[] = [];
    truth.verdicts.push(verdicts);
    const upTo = await world.log.end(partition);
    for await (const { records } of world.log.read(partition, 0, { upTo })) {
      for (const stored of records) verdicts.push(foldOne(truth, partition, world, stored, wrong));
    }
    for (const verdict of verdicts) world.history.count(`verdict ${verdict}`);
  }
  return truth;
}

function foldOne(truth: Truth, partition: number, world: World, stored: StoredRecord, wrong: string[]): Verdict {
  const count = (what: string): void => world.history.count(what);
  const decoded = decodeRecord(stored.value);
  if (!admissible(decoded, partition, world.partitions)) return 'invalid';
  const { record, digest } = decoded;
  const known = truth.streams.get(record.stream);
  const stream = known ?? { head: EMPTY_HEAD, state: null, lastAt: 0, accepted: new Map() };
  truth.streams.set(record.stream, stream);
  const { verdict, head } = admit(stream.head, record, digest, stored.offset);
  if (verdict !== 'accepted') {
    stream.head = head;
    return verdict;
  }
  const at = `${record.stream} offset ${stored.offset}`;
  // Invariant 2, once by the chain itself and once by the states.
  if (record.previous !== stream.head.previous || record.expectedVersion !== stream.head.version)
    wrong.push(`${at}: decided on another head`);
  stream.head = head;
  for (const { type } of record.events) count(`event ${type}`);
  try {
    for (const event of record.events) stream.state = applyRecorded(stream.state, event);
  } catch (error) {
    wrong.push(`${at}: decided on another state: ${String(error)}`);
  }
  // Invariant 3.
  if (stream.accepted.has(record.commandId)) wrong.push(`${at}: ${record.commandId} took effect twice`);
  if (record.at < stream.lastAt) wrong.push(`${at}: time ran backwards`);
  stream.lastAt = record.at;
  if (stream.state !== null) {
    const { turn } = stream.state;
    const accepted = { offset: stored.offset, partition, version: head.version, turn, stateHash: stateHash(stream.state), record };
    stream.accepted.set(record.commandId, accepted);
  }
  return verdict;
}

/** Invariants 1 and 3: what was answered is what the log says, for ever. */
function checkAnswers(world: World, truth: Truth, wrong: string[]): void {
  const tries = new Map<string, { readonly request: CommandRequest; maybe: boolean }>();
  for (const one of world.history.tries) {
    const { request } = one;
    const { stream, commandId } = request;
    const key = `${stream} ${commandId} ${JSON.stringify(request.digestInput)}`;
    const known = tries.get(key) ?? { request, maybe: false };
    tries.set(key, known);
    const accepted = truth.streams.get(stream)?.accepted.get(commandId);
    const name = `${request.command.type} ${commandId} on ${stream}`;
    if (one.saw === 'nothing') known.maybe = true;
    else if (one.saw === 'failure') {
      if (!one.noEffect) known.maybe = true;
      if (one.code === 'INTERNAL' || one.code === 'PLAYTHROUGH_PARKED') wrong.push(`${name}: answered ${one.code}`);
      if (one.code === 'COMMAND_REUSED' && accepted === undefined) wrong.push(`${name}: answered COMMAND_REUSED, but nothing used it`);
    } else if (one.outcome.kind === 'rejected') {
      // Told that its turn is not there yet: an earlier try, still on its way behind the turn before it, may yet come through.
      const early = 'turn' in request.command && one.outcome.code === 'TURN_STALE' && turnOf(one.outcome.state) < request.command.turn;
      if (early) known.maybe = true;
      else if (accepted !== undefined && sameInput(accepted, request))
        wrong.push(`${name}: answered ${one.outcome.code}, but it took effect at ${accepted.offset}`);
    } else {
      known.maybe = true;
      const { offset, partition, turn, version, duplicate, state } = one.outcome;
      if (accepted === undefined) {
        // A bookmark that was there already needs no record; then it must be there for ever.
        const there = duplicate && hasBookmark(truth.streams.get(stream)?.state ?? null, request.command);
        if (!there) wrong.push(`${name}: answered accepted at ${offset}, but the log does not have it`);
        continue;
      }
      if (accepted.offset !== offset || accepted.partition !== partition)
        wrong.push(`${name}: answered offset ${offset}, it stands at ${accepted.offset}`);
      if (accepted.turn !== turn || accepted.version !== version) wrong.push(`${name}: answered turn ${turn}, it was ${accepted.turn}`);
      if (!duplicate && stateHash(state as PlaythroughState) !== accepted.stateHash)
        wrong.push(`${name}: answered another state than the log leads to`);
    }
  }
  for (const [key, { request, maybe }] of tries) {
    const accepted = truth.streams.get(request.stream)?.accepted.get(request.commandId);
    if (!maybe && accepted !== undefined && sameInput(accepted, request) && !othersMaybe(world, request)) {
      wrong.push(`${key}: every answer said that nothing happened, but it took effect at ${accepted.offset}`);
    }
  }
}

function othersMaybe(world: World, request: CommandRequest): boolean {
  return world.history.tries.every((one) => one.request.commandId !== request.commandId || one.saw === 'nothing');
}

function hasBookmark(state: PlaythroughState | null, command: CommandRequest['command']): boolean {
  if (command.type !== 'setCheckpoint' || state === null) return false;
  const { mark, turn } = command.checkpoint;
  return state.checkpoints.some((checkpoint) => checkpoint.mark === mark && checkpoint.turn === turn);
}

const turnOf = (state: unknown): number => (state as PlaythroughState | null)?.turn ?? -1;

const digests = new WeakMap<CommandRequest, string>();

function sameInput({ record }: AcceptedRecord, request: CommandRequest): boolean {
  let digest = digests.get(request);
  if (digest === undefined) digests.set(request, (digest = commandDigest(request.digestInput, request.actor)));
  return record.commandDigest === digest;
}

/** Invariants 4 and 5: the read models hold what the fold holds, and nothing is parked or skipped. */
async function checkReadModels(world: World, truth: Truth, wrong: string[]): Promise<void> {
  const { log, projection, partitions } = world;
  const projector = await Projector.open({ log, store: projection, timers });
  for (let partition = 0; partition < partitions; partition++) await projector.catchUp(partition);
  for (let partition = 0; partition < partitions; partition++) {
    const names = [...truth.streams].filter(([, { accepted }]) => [...accepted.values()][0]?.partition === partition).map(([name]) => name);
    const { streams } = await projection.load(partition, names);
    for (const name of names) {
      const row = streams.get(name);
      const { head, state } = truth.streams.get(name) as FoldedStream;
      if (row === undefined || state === null) wrong.push(`${name}: the read models do not have it`);
      else if (row.parked !== null) wrong.push(`${name}: parked: ${row.parked}`);
      else if (row.state !== stateToJson(state)) wrong.push(`${name}: the read model differs from the fold`);
      else if (row.head.version !== head.version || row.head.previous !== head.previous)
        wrong.push(`${name}: its stored head differs from the fold`);
      else if (JSON.stringify(row.head.window) !== JSON.stringify(head.window))
        wrong.push(`${name}: its stored window differs from the fold`);
    }
  }
  if (world.seed % 8 !== 0) return;
  const rebuilt = new MemoryProjection();
  const again = await Projector.open({ log, store: rebuilt, timers });
  for (let partition = 0; partition < partitions; partition++) await again.catchUp(partition);
  for (const table of TABLE_NAMES) {
    if (rows(projection, table) !== rows(rebuilt, table)) wrong.push(`read model ${table} differs from a rebuild`);
  }
}

function rows(projection: MemoryProjection, table: (typeof TABLE_NAMES)[number]): string {
  return JSON.stringify([...projection.rows(table)].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** The auditor's trees hold one leaf per record with the fold's verdict, and are what an auditor that starts now builds. */
async function checkAudit(world: World, truth: Truth, wrong: string[]): Promise<void> {
  const { log, audit } = world;
  const auditor = new Auditor({ log, store: audit, timers });
  const fresh = world.seed % 8 === 0 ? new Auditor({ log, store: new MemoryAuditStore(), timers }) : undefined;
  for (let partition = 0; partition < world.partitions; partition++) {
    const head = await auditor.catchUp(partition);
    const verdicts = truth.verdicts[partition] ?? [];
    if (Number(head.size) !== verdicts.length) wrong.push(`audit p${partition} has ${head.size} leaves for ${verdicts.length} records`);
    for await (const { from, leaves } of audit.leaves(`p${partition}`, 0n, head.size)) {
      for (const [i, leaf] of leaves.entries()) {
        const verdict = verdicts[Number(from) + i];
        if (leaf.accepted !== (verdict === 'accepted'))
          wrong.push(`audit p${partition} leaf ${leaf.index}: accepted ${leaf.accepted}, the fold says ${verdict}`);
      }
    }
    const rebuilt = await fresh?.catchUp(partition);
    if (rebuilt !== undefined && hashes(rebuilt) !== hashes(head)) wrong.push(`audit p${partition}: another tree than one built now`);
  }
}

const hashes = ({ frontier }: { readonly frontier: readonly Buffer[] }): string => frontier.map((hash) => hash.toString('hex')).join();
