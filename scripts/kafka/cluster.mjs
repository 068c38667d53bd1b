// A cluster of real Kafka brokers (KRaft, each broker and controller at once) as processes of this machine, on 127.0.0.1.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import kafkajs from 'kafkajs';
import { kafkaClassPath, run } from './distribution.mjs';

const READY_WITHIN_MS = 120_000;
const STOPPED_WITHIN_MS = 15_000;
const RACKS = ['a', 'b', 'c'];
const JVM = ['-Xms128m', '-Xmx384m', '-XX:+UseSerialGC', '-Djava.awt.headless=true', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'];
/** Quicker to start and 8–26 % slower in the long run: for tests. */
const QUICK_START = ['-XX:TieredStopAtLevel=1', '-XX:ActiveProcessorCount=2'];
/** With these a killed broker's partitions have a new leader after about 3 s instead of 10. */
const QUICK_FAILOVER = {
  'broker.session.timeout.ms': '2000',
  'broker.heartbeat.interval.ms': '400',
  'replica.lag.time.max.ms': '2000',
  'controller.quorum.election.timeout.ms': '500',
  'controller.quorum.fetch.timeout.ms': '1000',
};

/** See cluster.d.mts for what the options mean. */
export async function startKafkaCluster(options) {
  const cluster = new KafkaCluster(options);
  await cluster.open();
  return cluster;
}

class KafkaCluster {
  #options;
  #say;
  #classPath = '';
  /** What must be the same at the next start: {clusterId, nodes, ports: [{clients: [one per audience], broker, controller}]} */
  #plan;
  /** By audience, then by broker. */
  #advertised = [];

  constructor(options) {
    this.#options = options;
    this.#say = options.say ?? (() => {});
  }

  get nodes() {
    return this.#plan.nodes;
  }
  get brokers() {
    return this.brokersOf(0);
  }
  brokersOf(audience) {
    return this.#advertised[audience].map((port) => `127.0.0.1:${port}`);
  }
  get direct() {
    return this.#plan.ports.map(({ broker }) => `127.0.0.1:${broker}`);
  }

  async open() {
    const { dir, fresh } = this.#options;
    if (fresh === true) await this.destroy();
    fs.mkdirSync(dir, { recursive: true });
    this.#classPath = await kafkaClassPath(this.#say);
    this.#plan = this.#keptPlan();
    if (this.#plan === undefined) {
      await this.#plantNew();
    } else if (this.#numbers().some((node) => this.pid(node) !== undefined)) {
      this.#say('some of these brokers run already');
    }
    for (let attempt = 1; ; attempt++) {
      try {
        const own = Array.from({ length: this.#audiences() }, (_, i) => this.#plan.ports.map(({ clients }) => clients[i]));
        this.#advertised = this.#options.advertise === undefined ? own : await this.#options.advertise(own);
        await this.#startAll();
        return;
      } catch (error) {
        // Between our look and its start another program may take a port.
        await this.stop();
        if (attempt === 5 || !(error instanceof PortTaken)) throw error;
        this.#plan.ports = await freePorts(this.nodes, this.#audiences());
        this.#save();
        this.#say('a port was taken by another program: the brokers have other addresses now');
      }
    }
  }

  /** Process id of a broker, if it runs. Another program may have the number by now: its command line tells. */
  pid(node) {
    try {
      const pid = Number(fs.readFileSync(this.#file(node, 'pid'), 'utf8'));
      if (!(pid > 1) || !isAlive(pid)) return undefined;
      const proc = `/proc/${pid}/cmdline`;
      if (fs.existsSync(proc) && !fs.readFileSync(proc, 'utf8').includes(this.#folder(node))) return undefined;
      return pid;
    } catch (error) {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** SIGKILL; ends when it is gone. */
  async kill(node) {
    await this.#end(node, 'SIGKILL', STOPPED_WITHIN_MS);
  }
  freeze(node) {
    process.kill(this.#running(node), 'SIGSTOP');
  }
  thaw(node) {
    process.kill(this.#running(node), 'SIGCONT');
  }

  /** Starts brokers that do not run; ends when the cluster sees them. */
  async start(...nodes) {
    for (const node of nodes) this.#spawn(node);
    await this.#ready((ids) => nodes.every((node) => ids.includes(node)), nodes);
  }

  /** As an operator would: stopped in good order, started again. */
  async restart(node) {
    await this.#end(node, 'SIGTERM', STOPPED_WITHIN_MS);
    await this.start(node);
  }
  async rollingRestart() {
    for (const node of this.#numbers()) await this.restart(node);
  }

  /** In good order; who does not end in time is killed (what is acknowledged is on all replicas or in the log). */
  async stop() {
    await Promise.all(this.#numbers().map((node) => this.#end(node, 'SIGTERM', STOPPED_WITHIN_MS)));
  }

  /** Kills the brokers and removes their data. */
  async destroy() {
    const { dir } = this.#options;
    this.#plan ??= this.#keptPlan();
    if (this.#plan !== undefined) await Promise.all(this.#numbers().map((node) => this.kill(node)));
    // Only what is ours: `dir` is the caller's.
    for (const name of fs.existsSync(dir) ? fs.readdirSync(dir) : []) {
      if (name === 'cluster.json' || /^node-\d$/.test(name))
        fs.rmSync(path.join(dir, name), { recursive: true, force: true, maxRetries: 5 });
    }
    this.#plan = undefined;
  }

  #audiences() {
    return this.#options.audiences ?? 1;
  }
  #numbers() {
    return Array.from({ length: this.nodes }, (_, i) => i + 1);
  }
  #folder(node) {
    return path.join(path.resolve(this.#options.dir), `node-${node}`);
  }
  #file(node, name) {
    return path.join(this.#folder(node), name);
  }
  #running(node) {
    const pid = this.pid(node);
    if (pid === undefined) throw new Error(`broker ${node} does not run`);
    return pid;
  }

  #keptPlan() {
    const file = path.join(this.#options.dir, 'cluster.json');
    if (!fs.existsSync(file)) return undefined;
    const plan = JSON.parse(fs.readFileSync(file, 'utf8'));
    const { nodes } = this.#options;
    if (nodes !== undefined && nodes !== plan.nodes && this.#options.fresh !== true)
      throw new Error(
        `${this.#options.dir} holds a cluster of ${plan.nodes}, not of ${nodes}: begin anew with --fresh, or choose another --dir`,
      );
    return plan;
  }
  #save() {
    const file = path.join(this.#options.dir, 'cluster.json');
    fs.writeFileSync(`${file}.new`, JSON.stringify(this.#plan));
    fs.renameSync(`${file}.new`, file);
  }

  async #plantNew() {
    const nodes = this.#options.nodes ?? 1;
    this.#plan = { clusterId: clusterId(), nodes, ports: await freePorts(nodes, this.#audiences()) };
    this.#say(`formatting ${nodes === 1 ? 'one broker' : `${nodes} brokers`}`);
    await Promise.all(
      this.#numbers().map(async (node) => {
        fs.mkdirSync(this.#folder(node), { recursive: true });
        this.#configure(node);
        const tool = [
          'kafka.tools.StorageTool',
          'format',
          '--cluster-id',
          this.#plan.clusterId,
          '-c',
          this.#file(node, 'server.properties'),
        ];
        await run('java', ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', this.#classPath, ...tool]);
      }),
    );
    this.#save();
  }

  #configure(node) {
    const { ports, nodes } = this.#plan;
    const { clients, broker, controller } = ports[node - 1];
    const names = clients.map((_, i) => `CLIENT${i}`);
    const internal = `BROKER://127.0.0.1:${broker}`;
    const copies = String(nodes);
    const enough = nodes === 1 ? '1' : '2';
    const properties = {
      'node.id': String(node),
      'process.roles': 'broker,controller',
      'broker.rack': RACKS[node - 1],
      // Brokers and controllers talk to each other directly, whatever stands in front of what is advertised to clients.
      listeners: [...names.map((name, i) => `${name}://127.0.0.1:${clients[i]}`), internal, `CONTROLLER://127.0.0.1:${controller}`].join(
        ',',
      ),
      'advertised.listeners': [
        ...names.map((name, i) => `${name}://127.0.0.1:${this.#advertised[i]?.[node - 1] ?? clients[i]}`),
        internal,
      ].join(','),
      'listener.security.protocol.map': [...names, 'BROKER', 'CONTROLLER'].map((name) => `${name}:PLAINTEXT`).join(','),
      'inter.broker.listener.name': 'BROKER',
      'controller.listener.names': 'CONTROLLER',
      'controller.quorum.voters': ports.map((port, i) => `${i + 1}@127.0.0.1:${port.controller}`).join(','),
      // Escaped: a backslash begins an escape sequence in a properties file.
      'log.dirs': this.#file(node, 'data').replaceAll('\\', '/'),
      'auto.create.topics.enable': 'false',
      'unclean.leader.election.enable': 'false',
      'default.replication.factor': copies,
      'min.insync.replicas': enough,
      'offsets.topic.num.partitions': '4',
      'offsets.topic.replication.factor': copies,
      'transaction.state.log.num.partitions': '4',
      'transaction.state.log.replication.factor': copies,
      'transaction.state.log.min.isr': enough,
      'share.coordinator.state.topic.num.partitions': '4',
      'share.coordinator.state.topic.replication.factor': copies,
      'share.coordinator.state.topic.min.isr': enough,
      'group.initial.rebalance.delay.ms': '0',
      'log.index.size.max.bytes': '1048576',
      ...(this.#options.quickFailover === true ? QUICK_FAILOVER : {}),
      ...this.#options.properties,
    };
    const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`);
    fs.writeFileSync(this.#file(node, 'server.properties'), lines.join(''));
  }

  async #startAll() {
    const absent = this.#numbers().filter((node) => this.pid(node) === undefined);
    if (absent.length > 0) this.#say(`starting ${absent.length === 1 ? 'one broker' : `${absent.length} brokers`}`);
    for (const node of absent) this.#spawn(node);
    await this.#ready((ids) => ids.length === this.nodes, absent);
  }

  #spawn(node) {
    if (this.pid(node) !== undefined) throw new Error(`broker ${node} runs already`);
    this.#configure(node);
    const log = fs.openSync(this.#file(node, 'broker.log'), 'w');
    // A process group of its own: Ctrl-C in a terminal is for us, who then stop the brokers in good order.
    const child = spawn(
      'java',
      [
        ...JVM,
        ...(this.#options.fullJit === true ? [] : QUICK_START),
        ...['-cp', this.#classPath, 'kafka.Kafka', this.#file(node, 'server.properties')],
      ],
      { stdio: ['ignore', log, log], detached: true },
    );
    fs.closeSync(log);
    // A spawn that fails has no pid; waiting for the broker to be ready reports it.
    child.on('error', () => {});
    child.unref();
    fs.writeFileSync(this.#file(node, 'pid'), String(child.pid ?? 0));
  }

  /** Waits until metadata names a controller and the brokers that `enough` wants. @throws if one of `watched` ends instead. */
  async #ready(enough, watched) {
    const deadline = Date.now() + READY_WITHIN_MS;
    for (;;) {
      const gone = watched.find((node) => this.pid(node) === undefined);
      if (gone !== undefined) {
        const words = fs.readFileSync(this.#file(gone, 'broker.log'), 'utf8').slice(-4_000);
        if (/Address already in use|BindException/.test(words)) throw new PortTaken(`broker ${gone}: a port is taken`);
        throw new Error(`broker ${gone} ended before it was ready; its last words:\n${words}`);
      }
      const asked = watched.length > 0 ? watched.map((node) => this.direct[node - 1]) : this.direct;
      const seen = await Promise.all(asked.map((address) => askBrokers([address], 2_000)));
      if (seen.every((ids) => ids !== undefined && enough(ids))) return;
      if (Date.now() > deadline) throw new Error(`the brokers were not ready within ${READY_WITHIN_MS / 1_000} s`);
      await pause(100);
    }
  }

  async #end(node, signal, withinMs) {
    const pid = this.pid(node);
    if (pid === undefined) return;
    process.kill(pid, signal);
    // A frozen one hears nothing but SIGKILL before it goes on.
    if (signal !== 'SIGKILL') process.kill(pid, 'SIGCONT');
    const deadline = Date.now() + withinMs;
    while (this.pid(node) !== undefined) {
      if (Date.now() > deadline) {
        if (signal === 'SIGKILL') throw new Error(`broker ${node} (process ${pid}) does not end`);
        return this.#end(node, 'SIGKILL', withinMs);
      }
      await pause(20);
    }
    fs.rmSync(this.#file(node, 'pid'), { force: true });
  }
}

class PortTaken extends Error {}

/**
 * Ids of the brokers that metadata names, once there is a controller too; undefined while nobody answers so.
 * @param {readonly string[]} addresses `host:port`, any of which may answer
 */
export async function askBrokers(addresses, timeoutMs) {
  const kafka = new kafkajs.Kafka({
    brokers: [...addresses],
    connectionTimeout: timeoutMs,
    requestTimeout: timeoutMs,
    retry: { retries: 0 },
    logLevel: kafkajs.logLevel.NOTHING,
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    const { brokers, controller } = await admin.describeCluster();
    return controller === null ? undefined : brokers.map(({ nodeId }) => nodeId).sort((a, b) => a - b);
  } catch {
    // Not yet, or not at all: the caller knows how long to go on asking.
    return undefined;
  } finally {
    await admin.disconnect();
  }
}

/** 22 characters of base64url; one that begins with `-` would be taken for an option. */
function clusterId() {
  for (;;) {
    const id = randomBytes(16).toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}

async function freePorts(nodes, audiences) {
  const taken = new Set();
  const next = async () => {
    for (let i = 0; i < 1_000; i++) {
      // Below the range that systems give to outgoing connections.
      const port = 10_000 + Math.floor(Math.random() * 10_000);
      if (!taken.has(port) && (await isFree(port))) {
        taken.add(port);
        return port;
      }
    }
    throw new Error('no free port between 10000 and 19999 on 127.0.0.1');
  };
  const ports = [];
  for (let i = 0; i < nodes; i++) {
    const clients = [];
    for (let j = 0; j < audiences; j++) clients.push(await next());
    ports.push({ clients, broker: await next(), controller: await next() });
  }
  return ports;
}

function isFree(port) {
  return new Promise((resolve) => {
    const probe = net.createServer().once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
  // One that ended but was not waited for yet (state Z) has gone.
  const stat = `/proc/${pid}/stat`;
  try {
    return !/\) Z/.test(fs.readFileSync(stat, 'utf8'));
  } catch {
    // No such file system here, or gone this moment: the signal's answer stands.
    return fs.existsSync('/proc/self/stat') === false;
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
