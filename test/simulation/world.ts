import { Engine, EngineFailure, type ColdSource, type CommandRequest, type EngineLimits } from '#lib/engine';
import { createMemoryLog, type EventLog } from '#lib/log';
import { MemoryProjection, Projector } from '#lib/projections';
import { Auditor, MemoryAuditStore } from '#lib/audit';
import { Client, type Shared } from './client.js';
import { FaultyLog, NO_LOG_FAULTS, type LogFaults } from './faulty-log.js';
import { History, type Try } from './history.js';
import { Random } from './random.js';
import { Process, Scheduler } from './scheduler.js';
import { slowColdSource } from './slow-cold-source.js';
import { STORY_HASH, STORY_TEXT } from './story.js';

/** What a planted bug may put in place of the real thing. */
export interface Plant {
  readonly projection?: () => MemoryProjection;
  readonly coldSource?: (cold: ColdSource) => ColdSource;
}

interface Node {
  readonly process: Process;
  readonly log: FaultyLog;
  readonly engine: Engine;
}

/** Failures that say that nothing happened. */
const NO_EFFECT = new Set(['LOG_UNAVAILABLE', 'OVERLOADED', 'RATE_LIMITED', 'NOT_YET_VISIBLE']);

/** Clients, two engines on one log, projector and auditor, and everything that can go wrong between them; one seed, one history. */
export class World {
  readonly history = new History();
  readonly log: EventLog;
  readonly projection: MemoryProjection;
  readonly audit = new MemoryAuditStore();
  readonly alarms: string[] = [];
  readonly partitions: number;
  /** Faults still happen. */
  faulty = true;
  private readonly scheduler = new Scheduler();
  private readonly outside = new Process(this.scheduler);
  private readonly random: Random;
  private readonly nodes: (Node | undefined)[] = [undefined, undefined];
  private readonly limits: Partial<EngineLimits>;
  private readonly logFaults: LogFaults;
  private coldFailing = 0;
  private projecting = true;

  constructor(
    readonly seed: number,
    private readonly plant: Plant = {},
  ) {
    const random = (this.random = new Random(seed));
    this.partitions = random.int(1, 2);
    this.log = createMemoryLog({ partitions: this.partitions, clock: this.outside, id: 'simulated' });
    this.projection = plant.projection?.() ?? new MemoryProjection();
    const p = (most: number): number => (random.chance(0.6) ? random.next() * most : 0);
    this.logFaults = { unavailable: p(0.1), lost: p(0.12), unanswered: p(0.15), late: p(0.15), doubled: p(0.12), readFails: p(0.05) };
    this.limits = {
      batchRecords: random.pick([1, 3, 8, 1000]),
      hotBytes: random.pick([3_000, 12_000, 1_000_000]),
      tailBytes: random.pick([4_000, 1_000_000]),
      catchUpRecords: random.pick([8, 10_000]),
      queueCommands: random.pick([3, 50]),
      visibleMs: 300,
      tickMs: 25,
      sweepMs: 400,
      backoffMs: [5, 80],
    };
  }

  /** Runs to the end. @throws when somebody waits for ever: progress is promised once faults are over. */
  async run(): Promise<void> {
    const { random } = this;
    const long = this.seed % 40 === 0;
    const players: Shared[] = Array.from({ length: long ? 1 : random.int(1, 3) }, (_, i) => ({
      id: undefined,
      state: undefined,
      reader: `r-${i}`,
    }));
    const clients = players.flatMap((shared) =>
      Array.from({ length: random.int(1, 2) }, (_, i) => new Client(this, random, shared, i === 0, random.int(5, 12) * (long ? 6 : 1))),
    );
    await this.open();
    void this.project();
    this.boot(0);
    if (random.chance(0.6)) this.boot(1);
    const playing = Promise.all(clients.map((client) => client.play()));
    let failed: unknown;
    playing.catch((error: unknown) => (failed = error ?? new Error('a client failed')));
    this.scheduler.after(random.int(30, 200), () => this.disturb());
    const begun = this.scheduler.now;
    const over = (): boolean => failed !== undefined || clients.every((client) => client.finished);
    const faultsUntil = begun + random.int(600, 3_000) * (long ? 3 : 1);
    await this.scheduler.run(faultsUntil, over);
    this.mend();
    await this.scheduler.run(begun + 120_000, over);
    if (failed !== undefined) throw failed;
    if (!over()) throw new Error('clients still wait, long after the last fault');
    // Bytes that are still on the wire arrive; both engines stop.
    await this.scheduler.run(this.scheduler.now + 2_000);
    this.projecting = false;
  }

  anyNode(): number {
    return this.random.int(0, 1);
  }

  wait(ms: number): Promise<void> {
    return this.outside.wait(ms);
  }

  /** One request over the network: it can meet a node that is down, and its answer can come too late. */
  async call(index: number, request: CommandRequest, patienceMs: number): Promise<Try> {
    await this.wait(this.random.int(0, 5));
    // With one node up, a load balancer finds it.
    const node = this.nodes[index] ?? this.nodes[1 - index];
    if (node === undefined) return { request, saw: 'failure', code: 'CONNECTION_REFUSED', noEffect: true };
    const answer = node.engine.execute(request).then(
      (outcome): Try => ({ request, saw: 'outcome', outcome }),
      (error: unknown): Try => {
        if (!(error instanceof EngineFailure)) throw error;
        return { request, saw: 'failure', code: error.code, noEffect: NO_EFFECT.has(error.code) };
      },
    );
    const seen = await Promise.race([answer, this.wait(patienceMs)]);
    return seen ?? { request, saw: 'nothing' };
  }

  private boot(index: number): void {
    const { random, scheduler } = this;
    const process = new Process(scheduler);
    const count = (fault: string): void => this.history.count(fault);
    const log = new FaultyLog(this.log, scheduler, process, random, () => (this.faulty ? this.logFaults : NO_LOG_FAULTS), count);
    const cold = slowColdSource(
      this.plant.coldSource?.(this.projection) ?? this.projection,
      process,
      random,
      () => this.coldFailing,
      count,
    );
    const content = { get: async (hash: string) => (hash === STORY_HASH ? STORY_TEXT : undefined), put: async () => undefined };
    const ids = { uuid: () => random.uuid(), hex: (bytes: number) => random.hex(bytes * 2) };
    const onAlarm = (message: string): void => {
      if (!message.includes('is not ready')) this.alarms.push(message);
    };
    const onMetric = (name: string): void => count(`engine ${name}`);
    const engine = new Engine({ log, cold, content, ids, clock: process, timers: process, limits: this.limits, onAlarm, onMetric });
    this.nodes[index] = { process, log, engine };
    void engine.start();
  }

  private disturb(): void {
    if (!this.faulty) return;
    const { random } = this;
    const index = this.anyNode();
    const node = this.nodes[index];
    const what = random.weighted({ kill: 4, pause: 4, clock: 2, readModels: 2, projector: 2, nothing: 2 });
    this.history.count(`fault ${what}`);
    if (node !== undefined && node.log.inFlight > 0) this.history.count(`fault ${what} during an append`);
    switch (what) {
      case 'kill':
        node?.process.kill();
        this.nodes[index] = undefined;
        this.scheduler.after(random.int(10, 400), () => {
          if (this.nodes[index] === undefined) this.boot(index);
        });
        break;
      case 'pause':
        node?.process.pause(random.int(50, 900));
        break;
      case 'clock':
        if (node !== undefined) node.process.skew = random.int(-3_000, 3_000);
        break;
      case 'readModels':
        this.coldFailing = random.chance(0.5) ? random.next() * 0.5 : 0;
        break;
      case 'projector':
        // Stands still for a while, then goes on from its stored position with nothing in memory.
        this.projecting = false;
        this.scheduler.after(random.int(50, 700), () => this.resumeProjecting());
        break;
      case 'nothing':
        break;
    }
    this.scheduler.after(random.int(40, 400), () => this.disturb());
  }

  private mend(): void {
    this.faulty = false;
    this.coldFailing = 0;
    for (const index of [0, 1]) if (this.nodes[index] === undefined) this.boot(index);
    this.resumeProjecting();
  }

  private resumeProjecting(): void {
    if (this.projecting) return;
    this.projecting = true;
    void this.project();
  }

  private async open(): Promise<void> {
    await this.projection.open(await this.log.id(), this.partitions);
  }

  /** Projector and auditor, a few records at a time; each start is one after a crash: nothing in memory. */
  private async project(): Promise<void> {
    const { random, log } = this;
    const projector = await Projector.open({ log, store: this.projection, timers: this.outside });
    const auditor = new Auditor({ log, store: this.audit, timers: this.outside });
    while (this.projecting) {
      await this.wait(random.int(2, 60));
      for (let partition = 0; partition < this.partitions; partition++) {
        const position = await this.projection.position(partition);
        const end = await log.end(partition);
        if (position < end) await projector.catchUp(partition, Math.min(end, position + random.int(1, 12)));
        if (random.chance(0.3)) await auditor.catchUp(partition);
      }
    }
  }
}
