import net from 'node:net';
import { freePort } from '#lib/platform';
import { Random } from '../simulation/random.js';

/**
 * What a network can do to connections. Each lasts from `begin` to `end`:
 * - dropResponse: requests arrive, answers do not; at the end, or a little after, such a connection breaks, as it would
 * - delay: all bytes of both directions arrive later, in order
 * - reset: connections break (RST), and new ones after a moment too
 * - halfOpen: nothing goes through and nothing is closed; at the end half of the connections go on with all that was held back,
 *   the others break
 * - slow: few bytes per second
 * - reorder: what clients send takes so long on some connections that a later connection overtakes it; it arrives even if its client
 *   has hung up long since
 */
export type NetworkFault =
  | { readonly kind: 'dropResponse' }
  | { readonly kind: 'delay'; readonly ms: number; readonly jitterMs: number }
  | { readonly kind: 'reset' }
  | { readonly kind: 'halfOpen' }
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  | { readonly kind: 'reorder'; readonly ms: number };
export type NetworkFaultKind = NetworkFault['kind'];

export type FaultCounts = { readonly [kind in NetworkFaultKind]: number };

/** Bytes that wait in one direction before the sender is held back too, as full socket buffers would. */
const HELD_MAX = 1_048_576;
const PIECE = 4_096;
const BREAKS_WITHIN_MS = 500;

export interface FaultProxyOptions {
  /** Free by default. */
  readonly port?: number;
  /** What a request is, in one word, by its first bytes: for `underWay` and `cutOff`. */
  readonly nameOf?: (request: Buffer) => string | undefined;
}

/** A TCP relay in front of one server, with faults that can be switched on. What it does by chance is drawn from its seed. */
export class FaultProxy {
  private readonly pairs = new Set<Pair>();
  private readonly random: Random;
  private readonly applied = { dropResponse: 0, delay: 0, reset: 0, halfOpen: 0, slow: 0, reorder: 0 };
  private current: { readonly fault: NetworkFault; readonly share: number } | undefined;
  private accepted = 0;

  private constructor(
    private readonly server: net.Server,
    readonly port: number,
    private readonly targetPort: number,
    seed: number,
    private readonly nameOf: FaultProxyOptions['nameOf'],
  ) {
    this.random = new Random(seed);
    server.on('connection', (caller) => this.accept(caller));
  }

  /** @throws EADDRINUSE when the port it was given is taken */
  static async start(targetPort: number, seed: number, options: FaultProxyOptions = {}): Promise<FaultProxy> {
    // Half-open callers must not be answered by the relay itself.
    const server = net.createServer({ allowHalfOpen: true, noDelay: true });
    const port = options.port ?? (await freePort());
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
    return new FaultProxy(server, port, targetPort, seed, options.nameOf);
  }

  /** From now on that fault, for that share of the connections that are there and of those to come. */
  begin(fault: NetworkFault, share = 1): void {
    if (this.current !== undefined) throw new Error(`${this.current.fault.kind} goes on still`);
    this.current = { fault, share };
    for (const pair of this.pairs) this.afflict(pair);
  }

  end(): void {
    this.current = undefined;
    for (const pair of this.pairs) pair.heal(this.random);
  }

  /** Whether a request of that name waits for its answer now. */
  underWay(name: string): boolean {
    return [...this.pairs].some((pair) => pair.waitsFor === name);
  }

  /** Breaks the connections on which a request of that name waits for its answer, at once or a moment after swallowing it. */
  cutOff(name: string): number {
    const hit = [...this.pairs].filter((pair) => pair.waitsFor === name);
    for (const pair of hit) pair.cut(this.random.chance(0.5) ? 0 : this.random.int(1, BREAKS_WITHIN_MS / 5));
    return hit.length;
  }

  /** How often each fault took hold: answers swallowed, pieces delayed or slowed, connections broken or stopped, requests overtaken. */
  get counts(): FaultCounts {
    return { ...this.applied };
  }
  /** Connections taken so far, and now. */
  get connections(): { readonly ever: number; readonly now: number } {
    return { ever: this.accepted, now: this.pairs.size };
  }

  async close(): Promise<void> {
    for (const pair of this.pairs) pair.break();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private accept(caller: net.Socket): void {
    this.accepted++;
    const pair = new Pair(
      caller,
      this.targetPort,
      (kind) => this.applied[kind]++,
      () => this.pairs.delete(pair),
      this.nameOf,
    );
    this.pairs.add(pair);
    pair.isOvertaken = (arrived) => [...this.pairs].some((other) => other !== pair && other.holdsRequestFrom(arrived));
    if (this.current !== undefined) this.afflict(pair);
  }

  private afflict(pair: Pair): void {
    if (this.current !== undefined && this.random.chance(this.current.share)) pair.suffer(this.current.fault, this.random);
  }
}

interface Held {
  readonly bytes: Buffer;
  readonly arrived: number;
  due: number;
}

/** One direction of a connection: bytes wait here until they are due. */
class Direction {
  readonly held: Held[] = [];
  private size = 0;
  private timer: NodeJS.Timeout | undefined;
  private lastDue = 0;
  ended = false;
  stopped = false;

  constructor(
    readonly from: net.Socket,
    private readonly to: net.Socket,
    /** When a piece may go, ms of `performance.now`; undefined swallows it. */
    private readonly dueAt: (bytes: number, now: number, lastDue: number) => number | undefined,
    private readonly sent: (arrived: number) => void,
  ) {
    from.on('data', (bytes) => this.take(bytes));
    from.once('end', () => this.finish());
  }

  finish(): void {
    this.ended = true;
    this.flush();
  }

  private take(bytes: Buffer): void {
    const now = performance.now();
    for (let at = 0; at < bytes.length; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      const due = this.dueAt(piece.length, now, this.lastDue);
      if (due === undefined) continue;
      this.lastDue = Math.max(this.lastDue, due);
      this.held.push({ bytes: piece, arrived: now, due: this.lastDue });
      this.size += piece.length;
    }
    if (this.size > HELD_MAX) this.from.pause();
    this.flush();
  }

  /** All that waits is due now. */
  release(): void {
    for (const piece of this.held) piece.due = 0;
    this.lastDue = 0;
    this.stopped = false;
    this.flush();
  }

  flush(): void {
    clearTimeout(this.timer);
    if (this.stopped || this.to.destroyed) return;
    const now = performance.now();
    while (this.held[0] !== undefined && this.held[0].due <= now) {
      const { bytes, arrived } = this.held.shift() as Held;
      this.size -= bytes.length;
      this.sent(arrived);
      this.to.write(bytes);
    }
    if (this.size <= HELD_MAX && this.from.isPaused()) this.from.resume();
    const next = this.held[0];
    if (next !== undefined) this.timer = setTimeout(() => this.flush(), Math.max(1, next.due - now));
    else if (this.ended) this.to.end();
  }

  discard(): void {
    clearTimeout(this.timer);
    this.held.length = 0;
  }
}

/** A client's connection and ours to the server. */
class Pair {
  isOvertaken: (arrived: number) => boolean = () => false;
  /** Name of the newest request, until something is answered. */
  waitsFor: string | undefined;
  private readonly target: net.Socket;
  private readonly up: Direction;
  private readonly down: Direction;
  private fault: NetworkFault | undefined;
  /** Answers are missing: it can only break, whatever comes after. */
  private spoiled = false;
  private delayMs = 0;
  private breaking: NodeJS.Timeout | undefined;

  constructor(
    private readonly caller: net.Socket,
    targetPort: number,
    private readonly count: (kind: NetworkFaultKind) => void,
    private readonly gone: () => void,
    nameOf: FaultProxyOptions['nameOf'],
  ) {
    this.target = net.connect({ port: targetPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    this.up = new Direction(
      caller,
      this.target,
      (bytes, now, last) => this.dueAt('up', bytes, now, last),
      (arrived) => {
        if (this.isOvertaken(arrived)) this.count('reorder');
      },
    );
    this.down = new Direction(
      this.target,
      caller,
      (bytes, now, last) => this.dueAt('down', bytes, now, last),
      () => {},
    );
    if (nameOf !== undefined) {
      caller.on('data', (bytes) => (this.waitsFor = nameOf(bytes) ?? this.waitsFor));
      this.target.on('data', () => (this.waitsFor = undefined));
    }
    // A client that broke off has sent what it has sent: that still arrives. Nobody waits for answers any more.
    caller.on('error', () => this.up.finish());
    caller.once('close', () => {
      this.down.discard();
      this.up.finish();
      if (this.target.destroyed) this.leave();
    });
    this.target.on('error', () => this.break());
    this.target.once('close', () => {
      if (!this.up.stopped) this.down.finish();
      if (caller.destroyed) this.leave();
    });
  }

  suffer(fault: NetworkFault, random: Random): void {
    this.fault = fault;
    if (fault.kind === 'reset') {
      this.breaking = setTimeout(
        () => {
          this.count('reset');
          this.break();
        },
        random.int(0, BREAKS_WITHIN_MS),
      );
    } else if (fault.kind === 'halfOpen') {
      this.count('halfOpen');
      this.up.stopped = true;
      this.down.stopped = true;
    } else if (fault.kind === 'delay') this.delayMs = fault.ms + random.int(0, fault.jitterMs);
    else if (fault.kind === 'reorder') this.delayMs = random.chance(0.5) ? random.int(fault.ms / 2, fault.ms) : 0;
  }

  heal(random: Random): void {
    const { fault } = this;
    this.fault = undefined;
    if (fault === undefined) return;
    if (this.spoiled || (fault.kind === 'halfOpen' && random.chance(0.5))) {
      this.breaking ??= setTimeout(() => this.break(), random.int(0, BREAKS_WITHIN_MS));
      return;
    }
    // What reordering holds back arrives when it was going to: late.
    if (fault.kind === 'reorder') return;
    this.up.release();
    this.down.release();
  }

  holdsRequestFrom(before: number): boolean {
    const first = this.up.held[0];
    return first !== undefined && first.arrived < before;
  }

  /** Swallows the answer that is awaited and breaks. */
  cut(afterMs: number): void {
    this.spoiled = true;
    this.waitsFor = undefined;
    if (afterMs === 0) this.break();
    else this.breaking ??= setTimeout(() => this.break(), afterMs);
  }

  break(): void {
    clearTimeout(this.breaking);
    this.up.discard();
    this.down.discard();
    for (const socket of [this.caller, this.target]) reset(socket);
    this.leave();
  }

  private leave(): void {
    clearTimeout(this.breaking);
    this.up.discard();
    this.down.discard();
    this.caller.destroy();
    this.target.destroy();
    this.gone();
  }

  private dueAt(direction: 'up' | 'down', bytes: number, now: number, last: number): number | undefined {
    const { fault } = this;
    if (direction === 'down' && (this.spoiled || fault?.kind === 'dropResponse')) {
      if (fault?.kind === 'dropResponse') this.count('dropResponse');
      this.spoiled = true;
      return undefined;
    }
    switch (fault?.kind) {
      case 'delay':
        this.count('delay');
        return now + this.delayMs;
      case 'slow':
        this.count('slow');
        return Math.max(now, last) + (bytes * 1_000) / fault.bytesPerSecond;
      case 'reorder':
        return direction === 'up' ? now + this.delayMs : now;
      default:
        return now;
    }
  }
}

/**
 * RST instead of FIN. libuv refuses that to a socket that is being shut down (or connects), and Node then never ends the socket and spins at
 * the process's exit: such a one is just closed.
 */
function reset(socket: net.Socket): void {
  if (socket.connecting || socket.destroyed || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
