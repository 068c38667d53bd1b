import { partitionOf } from '#lib/decision';
import { encodeReply, encodeRequest, decodeReply, decodeRequest, replyOf, type CommandOutcome, type CommandRequest } from './command.js';
import { EngineFailure, NotOwner } from './engine-failure.js';
import { ForwardingEngine, type Transport } from './forwarding.js';
import type { Ownership, OwnershipEvents } from './ownership/ownership.js';
import { SoleOwnership } from './ownership/sole-ownership.js';
import { accepted, chooseRequest, failure, fixture, rejected, startRequest, type Fixture } from './testing/fixture.js';
import { settled } from './testing/hand-time.js';

/** Who owns what, as a test says. */
class HandOwnership implements Ownership {
  readonly owners: ('self' | string | undefined)[] = [];
  events: OwnershipEvents | undefined;
  unreachable: string | undefined;

  outage(): string | undefined {
    return this.unreachable;
  }
  async start(_address: string, on: OwnershipEvents): Promise<void> {
    this.events = on;
  }
  ownerOf(partition: number): 'self' | string | undefined {
    return this.owners[partition];
  }
  async stop(): Promise<void> {
    await this.events?.released(0);
  }
}

interface Node {
  readonly forwarding: ForwardingEngine;
  readonly ownership: HandOwnership;
}

/** Two nodes on one log; what they send each other goes through JSON. */
function twoNodes(fix: Fixture, transport?: Partial<Transport>): readonly [Node, Node] {
  const nodes: Node[] = [];
  const carry = async (address: string, request: CommandRequest): Promise<CommandOutcome> => {
    const node = nodes[Number(address)] as Node;
    const reply = await replyOf(node.forwarding.executeForwarded(decodeRequest(encodeRequest(request))));
    return decodeReply(encodeReply(reply));
  };
  for (const address of ['0', '1']) {
    const ownership = new HandOwnership();
    const { time, ids, log, another } = fix;
    const engine = another({}, log);
    const options = { engine, ownership, partitions: log.partitions, clock: time, timers: time, ids, address, deadlineMs: 1_000 };
    nodes.push({ ownership, forwarding: new ForwardingEngine({ ...options, transport: { send: carry, ...transport } }) });
  }
  return nodes as unknown as readonly [Node, Node];
}

async function own(nodes: readonly [Node, Node], owner: 0 | 1 | undefined): Promise<void> {
  for (const [index, { ownership }] of nodes.entries()) {
    ownership.owners[0] = owner === undefined ? undefined : owner === index ? 'self' : String(owner);
    if (owner === index) ownership.events?.acquired(0);
    else await ownership.events?.released(0);
  }
  await settled();
}

async function started(transport?: Partial<Transport>): Promise<{ readonly fix: Fixture; readonly nodes: readonly [Node, Node] }> {
  const fix = fixture();
  const nodes = twoNodes(fix, transport);
  for (const { forwarding } of nodes) await forwarding.start();
  return { fix, nodes };
}

describe('A command for a partition of another node', () => {
  it('is decided by its owner, and its outcome or failure comes back as it was', async () => {
    const { nodes } = await started();
    await own(nodes, 1);
    const [first] = nodes;
    const start = startRequest();
    expect(first.forwarding.owns(start.stream)).toBe(false);
    expect(await accepted(first.forwarding.execute(start))).toMatchObject({ turn: 0, version: 1, state: { id: start.id } });
    expect(await rejected(first.forwarding.execute(chooseRequest(start.id, 0, 'nowhere')))).toMatchObject({ code: 'CHOICE_UNKNOWN' });
    expect(await failure(first.forwarding.execute({ ...start, digestInput: 'other' }))).toBe('COMMAND_REUSED');
    for (const { forwarding } of nodes) await forwarding.stop();
  });

  it('is given up by its owner before this node does, so that "nothing happened" still arrives', async () => {
    const asked: (readonly [owner: number | undefined, here: number])[] = [];
    const transport: Transport = {
      send: async (_address, { deadlineMs }, patience) => {
        asked.push([deadlineMs, patience]);
        throw new EngineFailure('OVERLOADED', 'the command was not decided in time and had no effect');
      },
    };
    const { nodes } = await started(transport);
    await own(nodes, 1);
    for (const deadlineMs of [10_000, 400]) {
      expect(await failure(nodes[0].forwarding.execute({ ...startRequest(), deadlineMs }))).toBe('OVERLOADED');
    }
    expect(asked).toEqual([
      [9_500, 10_000],
      [300, 400],
    ]);
    for (const { forwarding } of nodes) await forwarding.stop();
  });

  it('waits for an owner, and goes on with the playthrough wherever the partition moves', async () => {
    const { nodes, fix } = await started();
    await own(nodes, 0);
    const start = startRequest();
    await accepted(nodes[0].forwarding.execute(start));
    await own(nodes, undefined);
    const walk = accepted(nodes[0].forwarding.execute(chooseRequest(start.id, 0)));
    await fix.time.pass(300);
    await own(nodes, 1);
    await fix.time.pass(600);
    expect(await walk).toMatchObject({ turn: 1, offset: 1 });
    expect(await accepted(nodes[1].forwarding.execute(chooseRequest(start.id, 1)))).toMatchObject({ turn: 2 });
    for (const { forwarding } of nodes) await forwarding.stop();
  });

  it('is OVERLOADED when no owner is known until the deadline: nothing happened', async () => {
    const { nodes, fix } = await started();
    const nobody = failure(nodes[0].forwarding.execute({ ...startRequest(), deadlineMs: 400 }));
    await fix.time.pass(500);
    expect(await nobody).toBe('OVERLOADED');
    expect(await fix.log.end(0)).toBe(0);
  });

  it('is LOG_UNAVAILABLE when nobody owns anything because the log cannot be reached', async () => {
    const { nodes, fix } = await started();
    nodes[0].ownership.unreachable = 'the group is silent';
    const nobody = failure(nodes[0].forwarding.execute({ ...startRequest(), deadlineMs: 400 }));
    await fix.time.pass(500);
    expect(await nobody).toBe('LOG_UNAVAILABLE');
    expect(await fix.log.end(0)).toBe(0);
  });

  it('does not wait where another waited in vain, and finds the owner as soon as there is one', async () => {
    const { nodes, fix } = await started();
    const first = failure(nodes[0].forwarding.execute(startRequest()));
    await fix.time.pass(1_100);
    expect(await first).toBe('OVERLOADED');
    const next = failure(nodes[0].forwarding.execute(startRequest()));
    await fix.time.pass(50);
    expect(await next).toBe('OVERLOADED');
    await own(nodes, 1);
    expect(await accepted(nodes[0].forwarding.execute(startRequest()))).toMatchObject({ turn: 0 });
    for (const { forwarding } of nodes) await forwarding.stop();
  });

  it('tells callers that are refused together to come back at different times', async () => {
    const { nodes } = await started({ send: () => Promise.reject(new EngineFailure('LOG_UNAVAILABLE', 'down')) });
    await own(nodes, 1);
    const pauses = new Set<number | undefined>();
    for (let i = 0; i < 5; i++) {
      const error: unknown = await nodes[0].forwarding.execute(startRequest()).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'LOG_UNAVAILABLE', retryable: true });
      pauses.add((error as EngineFailure).retryAfterMs);
    }
    expect(pauses.size).toBe(5);
    expect(Math.min(...[...pauses].map(Number))).toBeGreaterThanOrEqual(1_000);
    expect(Math.max(...[...pauses].map(Number))).toBeLessThan(2_000);
    for (const { forwarding } of nodes) await forwarding.stop();
  });

  it('is sent again when the answer was lost, and takes effect once', async () => {
    let lost = 2;
    const { nodes, fix } = await started({
      send: async (_address, request) => {
        const outcome = await nodes[1].forwarding.executeForwarded(request);
        if (lost-- > 0) throw new Error('the connection was reset');
        return outcome;
      },
    });
    await own(nodes, 1);
    const start = accepted(nodes[0].forwarding.execute(startRequest()));
    await fix.time.pass(500);
    expect(await start).toMatchObject({ duplicate: true, turn: 0 });
    expect(await fix.log.end(0)).toBe(1);
    for (const { forwarding } of nodes) await forwarding.stop();
  });

  it('is OUTCOME_UNKNOWN when a try may have arrived, even if a later one says that nothing happened', async () => {
    let tries = 0;
    const { nodes, fix } = await started({
      send: async () => {
        if (++tries === 1) throw new Error('the connection was reset');
        throw new EngineFailure('OVERLOADED', 'too many commands');
      },
    });
    await own(nodes, 1);
    const start = failure(nodes[0].forwarding.execute(startRequest()));
    await fix.time.pass(1_100);
    expect(await start).toBe('OUTCOME_UNKNOWN');
    expect(tries).toBeGreaterThan(2);
  });

  it('is never sent on by a node that does not own the partition either', async () => {
    const { nodes, fix } = await started();
    for (const [index, { ownership }] of nodes.entries()) ownership.owners[0] = String(1 - index);
    const start = failure(nodes[0].forwarding.execute(startRequest()));
    await fix.time.pass(1_100);
    expect(await start).toBe('OVERLOADED');
  });
});

describe('One process', () => {
  it('owns every partition', async () => {
    const fix = fixture({ partitions: 4 });
    const { time, ids, log, another } = fix;
    const transport = { send: () => Promise.reject(new Error('there is nobody else')) };
    const options = { ownership: new SoleOwnership(4), partitions: 4, clock: time, timers: time, ids, address: 'here', deadlineMs: 1_000 };
    const forwarding = new ForwardingEngine({ ...options, engine: another({}, log), transport });
    await forwarding.start();
    await settled();
    const starts = Array.from({ length: 20 }, () => startRequest());
    const outcomes = await Promise.all(starts.map((start) => accepted(forwarding.execute(start))));
    expect(outcomes.map(({ partition }) => partition)).toEqual(starts.map(({ stream }) => partitionOf(stream, 4)));
    expect(new Set(outcomes.map(({ partition }) => partition)).size).toBe(4);
    await forwarding.stop();
    const late = failure(forwarding.execute({ ...startRequest(), deadlineMs: 100 }));
    await time.pass(200);
    expect(await late).toBe('OVERLOADED');
  });
});

describe('A forwarded message', () => {
  it('that is no command or no outcome is refused', () => {
    expect(() => decodeRequest('nonsense')).toThrow('not JSON');
    expect(() => decodeRequest('null')).toThrow('not an object');
    expect(() => decodeRequest('{"stream":"playthrough/x"}')).toThrow('not complete');
    expect(() => decodeReply('{}')).toThrow('something else');
    expect(() => decodeReply('{"failure":{"code":"NO_SUCH_CODE","message":"?"}}')).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
    expect(() => decodeReply('{"failure":{"code":"NOT_OWNER","message":"moved"}}')).toThrow(NotOwner);
  });
});
