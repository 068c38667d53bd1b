import type { StreamId } from '#lib/decision';
import { asideFailure, Asides, type AsideEnd } from './asides.js';
import { BatchAppender } from './batch-appender.js';
import { CircuitBreaker } from './circuit-breaker.js';
import type { CommandRequest } from './command.js';
import { BatchPlan, type PlannedRecord, type Step } from './batch-plan.js';
import { ColdLoader, type Arrival } from './cold-loader.js';
import { commandReused, EngineFailure, logDown, messageOf, NotOwner, outcomeUnknown } from './engine-failure.js';
import { History } from './history.js';
import type { HotStream } from './hot-set.js';
import { PartitionHalted, PartitionState } from './partition-state.js';
import type { PendingCommand } from './pending-command.js';
import { PendingCommands } from './pending-commands.js';
import type { StreamState } from './stream-kind.js';
import { Verdicts, type Settled } from './verdicts.js';
import type { WriterContext, WriterStats } from './writer-context.js';

type Refused = Pick<Extract<Step, { kind: 'rejected' }>, 'rejection' | 'state'>;

/** Why a partition takes no commands while log or read models are asked where it stands. */
export const RECOVERING = 'the partition is being recovered';

/**
 * The only one who decides on a partition in this process. Round after round: complete the cold streams that arrived, decide what waits in
 * the queue against hot state, append it as one batch, learn its verdicts, answer. Other writers may be at work on the same partition
 * (a zombie, a split brain): the offsets show it, and `admit` says what counts.
 */
export class PartitionWriter {
  private readonly state: PartitionState;
  private readonly loader: ColdLoader;
  private readonly appender: BatchAppender;
  private readonly asides: Asides;
  private readonly pending: PendingCommands;
  private readonly breaker: CircuitBreaker;
  private queue: PendingCommand[] = [];
  private readonly waiting = new Map<StreamId, PendingCommand[]>();
  private arrivals: Arrival[] = [];
  private hasRoom = true;
  private readonly stopped = new AbortController();
  private problem: string | undefined = RECOVERING;
  private running: Promise<void> | undefined;
  /** Ends the loop's wait for work. */
  private wake: (() => void) | undefined;
  private ticking = false;
  private ticks = 0;
  private polling = false;

  constructor(
    readonly partition: number,
    private readonly context: WriterContext,
    /** The partition stopped by itself, after `start`. */
    private readonly halted: (error: unknown) => void = () => {},
  ) {
    const { limits, log, cold, clock, timers, ids, content } = context;
    this.pending = new PendingCommands(limits);
    this.breaker = new CircuitBreaker(clock, ids, limits, () => this.breakerOpened());
    this.state = new PartitionState(partition, context, this.stopped.signal);
    this.appender = new BatchAppender(partition, context, this.stopped.signal, this.breaker);
    const arrived = (arrival: Arrival): void => {
      this.arrivals.push(arrival);
      this.wake?.();
    };
    this.loader = new ColdLoader(cold, partition, arrived, (streams, error) => this.loadFailed(streams, error));
    const onAlarm = (message: string): void => context.onAlarm(message);
    const history = new History(partition, { log, cold, clock, timers, visibleMs: limits.visibleMs, onAlarm });
    this.asides = new Asides(partition, history, content);
  }

  /** Why commands are refused now; undefined when all is well. */
  get notReady(): string | undefined {
    return this.problem;
  }

  /** Recovers, then takes commands. @throws what log or read models throw; PartitionHalted when the tail cannot be understood. */
  async start(): Promise<void> {
    await this.state.recover();
    this.stopped.signal.throwIfAborted();
    this.problem = undefined;
    this.running = this.run();
  }

  /** Why a command would be refused unread: cheap, so that an overload is answered before work is done for it. */
  busy(request: CommandRequest): EngineFailure | undefined {
    if (this.problem !== undefined) return this.refusal(this.problem);
    this.breaker.look();
    const { state } = this.breaker;
    const down = state === 'open' || (state === 'half-open' && this.pending.size > 0);
    const failure = down ? logDown() : this.pending.refusal(request.stream);
    return failure !== undefined && this.pending.isUnderway(request) ? outcomeUnknown() : failure;
  }

  /** To be called only while not `busy`. */
  submit(command: PendingCommand): void {
    this.pending.add(command);
    this.enqueue(command);
    this.tickLater();
  }

  /** The partition cannot be recovered: every command is told why. */
  refuse(problem: string): void {
    this.problem = problem;
  }

  /** The command was answered. */
  answered(command: PendingCommand): void {
    this.pending.answered(command);
  }

  hot(stream: StreamId): StreamState | undefined {
    return this.state.hot.peek(stream)?.state ?? undefined;
  }

  /** Sizes of what is bounded, for metrics. */
  stats(): WriterStats {
    const { hot, next, tailBytes } = this.state;
    const { state: breaker, since } = this.breaker;
    const sizes = { pending: this.pending.size, hotStreams: hot.size, hotBytes: hot.bytes, tailBytes };
    return { partition: this.partition, ...sizes, next, breaker, breakerSince: since ?? null };
  }

  /** Ends after the batch in flight; who is not answered by then learns that the outcome is unknown, or that nothing happened. */
  async stop(graceMs: number): Promise<void> {
    this.problem ??= 'this node no longer owns the partition';
    this.stopped.abort();
    this.wake?.();
    this.appender.interrupt();
    let cancel: (() => void) | undefined;
    const grace = new Promise<void>((resolve) => (cancel = this.context.timers.after(graceMs, resolve)));
    await Promise.race([this.running ?? Promise.resolve(), grace]);
    cancel?.();
    this.failAll(this.problem);
  }

  // ---- the loop

  private async run(): Promise<void> {
    while (!this.stopped.signal.aborted) {
      if (this.queue.length === 0 && this.arrivals.length === 0) {
        await new Promise<void>((resolve) => (this.wake = resolve));
        this.wake = undefined;
        continue;
      }
      try {
        await this.round();
      } catch (error) {
        if (!this.stopped.signal.aborted) this.halt(error);
        return;
      }
    }
  }

  private async round(): Promise<void> {
    this.hasRoom = this.state.hasRoom();
    const arrivals = this.arrivals;
    this.arrivals = [];
    for (const arrival of arrivals) await this.install(arrival);
    const ahead = this.queue.filter((command) => command.tail === 'wanted');
    if (ahead.length > 0) await this.catchUp(ahead);
    const plan = this.decideQueue();
    this.loader.flush();
    if (plan.records.length > 0) await this.pending.whileUnderway(plan.records, () => this.commit(plan));
  }

  private halt(error: unknown): void {
    this.problem = messageOf(error);
    this.context.onAlarm(`partition ${this.partition} stopped: ${this.problem}`);
    this.failAll(this.problem);
    this.halted(error);
  }

  private failAll(why: string): void {
    this.pending.failAll(() => this.refusal(why));
    this.queue = [];
    this.waiting.clear();
  }

  /** Nobody waits for a log that is down: what has not left is told now that nothing happened. */
  private breakerOpened(): void {
    this.context.onMetric('breaker_opened', 1);
    this.pending.failUnsent(logDown);
    this.dropAnswered();
  }

  private refusal(why: string): EngineFailure {
    if (this.stopped.signal.aborted || why === RECOVERING) return new NotOwner(why);
    return new EngineFailure('LOG_UNAVAILABLE', `partition ${this.partition}: ${why}`);
  }

  private enqueue(command: PendingCommand): void {
    this.queue.push(command);
    this.wake?.();
  }

  // ---- deciding

  private decideQueue(): BatchPlan {
    const { clock, ids, limits, content } = this.context;
    const plan = new BatchPlan(this.state.next, { clock, ids, limits, story: (hash) => content.peek(hash) });
    const queue = this.queue;
    this.queue = [];
    for (const [index, command] of queue.entries()) {
      if (command.done) continue;
      const hot = this.state.hot.use(command.request.stream);
      if (hot === undefined) this.awaitCold(command);
      else if (hot.parked !== null) this.refuseParked(command, hot.parked);
      else if (this.decide(plan, command, hot) === 'full') {
        this.queue = queue.slice(index).concat(this.queue);
        break;
      }
    }
    return plan;
  }

  private decide(plan: BatchPlan, command: PendingCommand, hot: HotStream): 'full' | undefined {
    let step: Step;
    try {
      step = plan.add(command, hot);
    } catch (error) {
      // A decider is total: this is a bug of ours. It costs this command, not the partition.
      this.context.onAlarm(`deciding ${command.request.command.type} on ${hot.stream}: ${messageOf(error)}`);
      command.fail(new EngineFailure('INTERNAL', 'the command could not be decided', { cause: error }));
      return undefined;
    }
    switch (step.kind) {
      case 'planned':
        break;
      case 'full':
        return 'full';
      case 'failed':
        command.fail(step.failure);
        break;
      case 'duplicate':
        this.aside(command, this.asides.repeated(command, hot, step.first));
        break;
      case 'nothing':
        this.withoutRecord(command, hot, step.state, () => this.asides.nothing(command, hot, step.state));
        break;
      case 'rejected':
        this.reject(command, hot, step);
        break;
      case 'needs-content':
        this.aside(command, this.asides.fetchContent(command, step.hash));
        break;
      case 'needs-past':
        this.aside(command, this.asides.fetchPast(command, step.past));
        break;
      case 'needs-search':
        this.aside(command, this.asides.search(command, hot));
        break;
      case 'needs-tail':
        command.tail = 'wanted';
        this.enqueue(command);
        break;
    }
    return undefined;
  }

  /** Lets the command wait beside the loop, so that those behind it go on; it is answered there, or comes back. */
  private aside(command: PendingCommand, wait: Promise<AsideEnd>): void {
    wait.then(
      (end) => {
        if (end === 'again' && !command.done) this.enqueue(command);
      },
      (error: unknown) => command.fail(asideFailure(error)),
    );
  }

  /** A command that leads to no record is answered now, unless it may be the retry of one accepted long ago. */
  private withoutRecord(command: PendingCommand, hot: HotStream, state: StreamState | null, answer: () => void): void {
    if (this.asides.mayBeOlder(command, hot, state)) this.aside(command, this.asides.older(command, hot, answer));
    else answer();
  }

  private reject(command: PendingCommand, hot: HotStream, { rejection, state }: Refused): void {
    this.withoutRecord(command, hot, state, () => this.asides.reject(command, rejection, state));
  }

  /** Another writer may have been here: read what it wrote before telling a caller that its turn does not exist. */
  private async catchUp(ahead: readonly PendingCommand[]): Promise<void> {
    try {
      await this.state.catchUp();
      for (const command of ahead) command.tail = 'read';
    } catch (error) {
      if (error instanceof PartitionHalted) throw error;
      for (const command of ahead) command.fail(new EngineFailure('LOG_UNAVAILABLE', 'the log cannot be read', { cause: error }));
    }
  }

  private refuseParked(command: PendingCommand, reason: string): void {
    command.fail(new EngineFailure('PLAYTHROUGH_PARKED', `the stream is parked: ${reason}`));
    // Once the projector has passed it, the next command loads it anew and finds whether it was mended.
    this.state.forget(command.request.stream);
    this.poll();
  }

  // ---- cold streams

  private awaitCold(command: PendingCommand): void {
    const { stream } = command.request;
    if (!this.hasRoom) {
      return command.fail(new EngineFailure('OVERLOADED', 'no more playthroughs can be opened until the projector catches up'));
    }
    const others = this.waiting.get(stream);
    if (others !== undefined) return void others.push(command);
    this.waiting.set(stream, [command]);
    this.loader.want(stream);
  }

  private async install(arrival: Arrival): Promise<void> {
    try {
      const installed = await this.state.install(arrival);
      for (const [stream, { parked }] of installed) {
        for (const command of this.takeWaiting(stream)) {
          if (parked === null) this.queue.push(command);
          else this.refuseParked(command, parked);
        }
      }
    } catch (error) {
      if (error instanceof PartitionHalted) throw error;
      this.failWaiting(arrival.streams, asideFailure(error));
    }
  }

  private loadFailed(streams: readonly StreamId[], error: unknown): void {
    this.context.onMetric('cold_load_failed', streams.length);
    this.failWaiting(
      streams,
      new EngineFailure('OVERLOADED', 'playthroughs that are not in memory cannot be opened now', { cause: error }),
    );
  }

  private failWaiting(streams: readonly StreamId[], failure: EngineFailure): void {
    for (const stream of streams) for (const command of this.takeWaiting(stream)) command.fail(failure);
  }

  private takeWaiting(stream: StreamId): readonly PendingCommand[] {
    const commands = this.waiting.get(stream) ?? [];
    this.waiting.delete(stream);
    return commands;
  }

  // ---- the log

  /** Appends the batch and learns what it counts for. Nobody is answered before. */
  private async commit(plan: BatchPlan): Promise<void> {
    const { records } = plan;
    const { next } = this.state;
    const base = await this.appender.append(plan);
    if (base === undefined) return;
    if (base < next) throw new PartitionHalted(`the log gave offset ${base} again: records below ${next} were read before`);
    if (base === next) {
      this.state.confirm(records);
      return this.settle(plan, ({ offset, head, state }) => ({ kind: 'accepted', offset, version: head.version, state }));
    }
    const verdicts = new Verdicts(records);
    await this.appender.insist(() => this.state.readTo(base + records.length, verdicts));
    this.settle(plan, (planned) => verdicts.of(planned));
  }

  private settle(plan: BatchPlan, verdictOf: (planned: PlannedRecord) => Settled): void {
    const overtaken = new Set<HotStream>();
    const again: PendingCommand[] = [];
    for (const planned of plan.records) {
      const settled = verdictOf(planned);
      if (settled.kind !== 'accepted') overtaken.add(planned.hot);
      if (planned.command === null) continue;
      planned.command.sent = false;
      if (settled.kind === 'conflict') again.push(planned.command);
      else this.answer(planned.command, planned, settled);
    }
    for (const dependent of plan.dependents) {
      const { command, hot } = dependent;
      command.sent = false;
      if (overtaken.has(hot)) again.push(command);
      else if (dependent.kind === 'reused') command.fail(commandReused());
      else if (dependent.kind === 'rejected') this.reject(command, hot, dependent);
      else if (dependent.kind === 'nothing')
        this.withoutRecord(command, hot, hot.state, () => this.asides.nothing(command, hot, dependent.state));
      // The first of the two may stand elsewhere than foreseen: its verdict says where.
      else this.answer(command, dependent.of, verdictOf(dependent.of), true);
    }
    this.decideAgain(again);
  }

  private answer(command: PendingCommand, { hot, record }: PlannedRecord, settled: Settled, duplicate = false): void {
    if (settled.kind === 'conflict') throw new Error('a conflict is no answer');
    if (settled.kind === 'reused') return command.fail(commandReused());
    if (settled.kind === 'duplicate') return this.aside(command, this.asides.repeated(command, hot, settled.first));
    const { offset, version } = settled;
    const state = duplicate ? hot.state : settled.state;
    if (state === null) return this.refuseParked(command, hot.parked ?? 'its state cannot be folded');
    const turn = hot.kind.turnOf(record.events);
    command.answer({ kind: 'accepted', duplicate, partition: this.partition, offset, turn, version, state });
  }

  /** Other writers were faster: the streams stand where the log says now. */
  private decideAgain(commands: readonly PendingCommand[]): void {
    const front: PendingCommand[] = [];
    for (const command of commands) {
      this.context.onMetric('conflict', 1);
      if (++command.attempts <= this.context.limits.decideAgain) front.push(command);
      else command.fail(new EngineFailure('OVERLOADED', 'other writers were faster each time; the command had no effect'));
      // A second conflict means that the state itself may be wrong: load it anew if the read models hold it.
      if (command.attempts > 1) this.state.forget(command.request.stream);
    }
    this.queue = front.concat(this.queue);
  }

  // ---- time

  private tickLater(): void {
    if (this.ticking) return;
    this.ticking = true;
    this.context.timers.after(this.context.limits.tickMs, () => {
      this.ticking = false;
      this.tick();
    });
  }

  private tick(): void {
    if (this.stopped.signal.aborted) return;
    const now = this.context.clock.now();
    this.breaker.look();
    if (this.pending.expire(now, () => (this.breaker.troubled ? logDown() : undefined))) this.dropAnswered();
    // Half full: look now and then. Full: somebody waits for the projector.
    if (this.state.crowded && (!this.hasRoom || this.ticks % 10 === 0)) this.poll();
    this.ticks++;
    if (this.pending.size > 0 || this.state.crowded) this.tickLater();
  }

  /** While log or read models hang, commands that were answered in time must not pile up behind them. */
  private dropAnswered(): void {
    const waits = (command: PendingCommand): boolean => !command.done;
    this.queue = this.queue.filter(waits);
    for (const [stream, commands] of this.waiting) this.waiting.set(stream, commands.filter(waits));
  }

  private poll(): void {
    if (this.polling) return;
    this.polling = true;
    this.context.cold
      .position(this.partition)
      .then(
        (position) => this.state.heard(Math.min(position, this.state.next)),
        () => this.context.onMetric('position_unknown', 1),
      )
      .finally(() => (this.polling = false));
  }
}
