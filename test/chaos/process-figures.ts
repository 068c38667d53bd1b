import { readdir, readFile, readlink } from 'node:fs/promises';

/** Linux counts processor time in ticks of 10 ms, whatever the kernel's own clock. */
const TICK_MS = 10;

/** Processor time that a process has used so far, ms, in user and in kernel. */
export async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name, in brackets, may hold anything; after it, state is field 3, utime 14, stime 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** Memory of a process that is resident, MB. */
export async function rssMb(pid: number): Promise<number> {
  const kb = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kb) / 1_024);
}

const ESTABLISHED = '01';

/** A process's open connections to one of these local ports: each under its own port, which is its name while it lives. */
export async function connectionsTo(pid: number, ports: readonly number[]): Promise<ReadonlySet<number>> {
  const sockets = new Set<string>();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    // Closed between listing and looking.
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) sockets.add(inode);
  }
  const found = new Set<number>();
  for (const table of ['tcp', 'tcp6']) {
    const lines = (await readFile(`/proc/${pid}/net/${table}`, 'utf8')).trim().split('\n').slice(1);
    for (const line of lines) {
      const [, local = '', remote = '', state, , , , , , inode = ''] = line.trim().split(/\s+/);
      const portOf = (address: string): number => Number.parseInt(address.slice(address.lastIndexOf(':') + 1), 16);
      if (state === ESTABLISHED && sockets.has(inode) && ports.includes(portOf(remote))) found.add(portOf(local));
    }
  }
  return found;
}
