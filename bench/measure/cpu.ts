import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';

export interface CpuUse {
  /** CPU time of this process, and of the others that count where /proc tells it, in microseconds. */
  readonly micros: number;
  /** Share of the machine's time that nothing of the bench used and that was not idle; undefined without /proc. */
  readonly foreign: number | undefined;
}

/** Clock ticks of /proc are 10 ms on every Linux that Node runs on. */
const TICK_MICROS = 10_000;

/** CPU time between start and stop: what it costs, nearly independent of how busy the neighbours are. */
export class CpuMeter {
  private constructor(
    private readonly counted: readonly number[],
    private readonly others: readonly number[],
    private readonly own: NodeJS.CpuUsage,
    private readonly countedMicros: number,
    private readonly othersMicros: number,
    private readonly busy: number | undefined,
    private readonly at: number,
  ) {}

  /**
   * @param counted processes that count with this one: Postgres, a server, a load generator
   * @param others further processes of the bench: not counted, not foreign either
   */
  static start(counted: readonly number[], others: readonly number[] = []): CpuMeter {
    const [own, busy, at] = [process.cpuUsage(), machineBusyMicros(), performance.now()];
    return new CpuMeter(counted, others, own, treesMicros(counted), treesMicros(others), busy, at);
  }

  stop(): CpuUse {
    const own = process.cpuUsage(this.own);
    const micros = own.user + own.system + Math.max(0, treesMicros(this.counted) - this.countedMicros);
    const others = Math.max(0, treesMicros(this.others) - this.othersMicros);
    const busy = machineBusyMicros();
    if (this.busy === undefined || busy === undefined) return { micros, foreign: undefined };
    const capacity = (performance.now() - this.at) * 1000 * os.cpus().length;
    return { micros, foreign: Math.max(0, (busy - this.busy - micros - others) / capacity) };
  }
}

/** These processes, their ended children (their time is in their parent's account) and their running ones. */
function treesMicros(pids: readonly number[]): number {
  if (process.platform !== 'linux') return 0;
  let ticks = 0;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(Number(name));
    if (stat === undefined) continue;
    if (pids.includes(Number(name))) ticks += stat.own + stat.endedChildren;
    else if (pids.includes(stat.parent)) ticks += stat.own;
  }
  return ticks * TICK_MICROS;
}

function statOf(pid: number): { parent: number; own: number; endedChildren: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    // The process ended between the listing and the look: its time is in its parent's account.
    return undefined;
  }
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const field = (n: number): number => fields[n - 3] ?? 0;
  return { parent: field(4), own: field(14) + field(15), endedChildren: field(16) + field(17) };
}

function machineBusyMicros(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '')
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) * TICK_MICROS;
}
