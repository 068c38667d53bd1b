import type { Pool, PoolClient } from 'pg';

/** What a killed process's calls end with; nothing of it goes on after that. */
export class Killed extends Error {
  override readonly name = 'Killed';
}

/**
 * One process, seen from outside: every call that it makes to a wrapped port is two steps, before it (nothing happened) and after it (it
 * happened, and nobody heard). At one of them the process ends: from then on each of its calls fails and has no effect.
 */
export class Process {
  /** Steps so far, by name. */
  readonly steps: string[] = [];
  private readonly clients = new Set<PoolClient>();
  private end: () => void = () => undefined;
  readonly ended: Promise<void>;
  private dead = false;

  /** @param killAt the step at which it ends; Infinity: it lives */
  constructor(private readonly killAt = Infinity) {
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  get killed(): boolean {
    return this.dead;
  }

  /** The same object, each call of its methods being two steps. Callbacks that it calls get wrapped objects too: transactions. */
  port<T extends object>(name: string, target: T): T {
    return new Proxy(target, {
      get: (_, property) => {
        const member: unknown = Reflect.get(target, property);
        if (typeof member !== 'function' || typeof property === 'symbol') return member;
        return (...given: unknown[]) => {
          const call = `${name}.${property}`;
          this.step(`before ${call}`);
          const result: unknown = Reflect.apply(
            member,
            target,
            given.map((one) => this.wrapped(call, one)),
          );
          if (result instanceof Promise) return this.after(call, result);
          return isIterable(result) ? this.items(call, result) : result;
        };
      },
    });
  }

  /** A database pool: each statement is a step, and the sessions of a killed process end with it. */
  pool(pool: Pool): Pool {
    return new Proxy(pool, {
      get: (_, property) => {
        if (property === 'query') return (...given: unknown[]) => this.statement(pool as unknown as Querying, given);
        if (property !== 'connect') {
          const member: unknown = Reflect.get(pool, property);
          return typeof member === 'function' ? (member.bind(pool) as unknown) : member;
        }
        return async () => {
          this.step('before connect');
          const client = await pool.connect();
          client.on('error', ignore);
          this.clients.add(client);
          if (this.dead) this.drop(client);
          return this.client(client);
        };
      },
    });
  }

  private client(client: PoolClient): PoolClient {
    return new Proxy(client, {
      get: (_, property) => {
        if (property === 'query') return (...given: unknown[]) => this.statement(client as unknown as Querying, given);
        if (property === 'release')
          return (broken?: boolean) => {
            if (!this.clients.delete(client)) return;
            client.off('error', ignore);
            client.release(broken === true || this.dead);
          };
        const member: unknown = Reflect.get(client, property);
        return typeof member === 'function' ? (member.bind(client) as unknown) : member;
      },
    });
  }

  private statement(client: Querying, given: readonly unknown[]): Promise<unknown> {
    const [first] = given;
    const text = typeof first === 'string' ? first : ((first as { readonly text?: string }).text ?? 'statement');
    const call = text.trim().slice(0, 60).replaceAll(/\s+/g, ' ');
    this.step(`before ${call}`);
    return this.after(call, client.query(...given));
  }

  private wrapped(call: string, value: unknown): unknown {
    if (typeof value !== 'function') return value;
    return (...given: unknown[]): unknown =>
      Reflect.apply(
        value,
        undefined,
        given.map((one) => (isPort(one) ? this.port(`${call}/`, one) : one)),
      );
  }

  private after<T>(call: string, result: Promise<T>): Promise<T> {
    const heard = result.then((value) => {
      this.step(`after ${call}`);
      return value;
    });
    // Of a killed process nobody may be left who waits for it.
    heard.catch(ignore);
    return heard;
  }

  private async *items(call: string, items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    for await (const item of items) {
      this.step(`item of ${call}`);
      yield item;
    }
    this.step(`end of ${call}`);
  }

  private step(what: string): void {
    if (!this.dead) this.steps.push(what);
    if (!this.dead && this.steps.length - 1 === this.killAt) {
      this.dead = true;
      for (const client of this.clients) this.drop(client);
      this.end();
    }
    if (this.dead) throw new Killed(what);
  }

  private drop(client: PoolClient): void {
    this.clients.delete(client);
    client.release(true);
  }
}

interface Querying {
  query(...given: readonly unknown[]): Promise<unknown>;
}
const ignore = (): void => undefined;
const isIterable = (value: unknown): value is AsyncIterable<unknown> =>
  typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
/** Plain data has no methods. */
const isPort = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && Object.values(value).some((member) => typeof member === 'function');

export interface Scenario<World> {
  /** Everything as it stands before the process starts; must be the same each time. */
  begin(): World | Promise<World>;
  /** The process's work, over ports wrapped by it. It may fail or go on for ever once it is killed: nobody waits for it. */
  run(world: World, process: Process): Promise<void>;
  /** A new process on the same store finishes the work. */
  recover(world: World): Promise<void>;
  /** What must hold then. */
  verify(world: World): Promise<void>;
  /** Looks at what the killed process left, before anybody mends it. */
  inspect?(world: World): Promise<void>;
}

/**
 * Runs the scenario once untouched, then once per step, killed there, recovered and verified. Errors name the step. Answers how many steps
 * there are.
 * @param every only each so many-th step, from `first` on: a sample
 */
export async function everyAwait<World>(scenario: Scenario<World>, every = 1, first = 0): Promise<number> {
  const whole = new Process();
  const untouched = await scenario.begin();
  await scenario.run(untouched, whole);
  await scenario.recover(untouched);
  await scenario.verify(untouched);
  const { length } = whole.steps;
  for (let killAt = first; killAt < length; killAt += every) {
    const world = await scenario.begin();
    const process = new Process(killAt);
    let failed: unknown;
    const run = scenario.run(world, process).catch((error: unknown) => (failed = error));
    await Promise.race([run, process.ended]);
    const where = `killed at step ${killAt} of ${length}, ${process.steps.at(-1) ?? 'none'}`;
    // A run that ends otherwise than by the kill tells of an error of its own; one that is not reached, of a scenario that differs each time.
    if (!process.killed) throw new Error(`${where}: was not reached`, { cause: failed });
    try {
      await scenario.inspect?.(world);
      await scenario.recover(world);
      await scenario.verify(world);
    } catch (error) {
      throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
  return length;
}
