import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { audited, type Audited } from '../testing/audited.js';
import type { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { NoteCopies } from './note-copies.js';

const NEVER = new AbortController().signal;

describe('copies of signed notes in a folder of another owner', () => {
  let base: string;
  let directory: string;
  let problems: string[];
  let witnessed: { readonly size: bigint; readonly note: string } | undefined;
  beforeEach(async () => {
    base = await mkdtemp(path.join(os.tmpdir(), 'fabula-copies-'));
    directory = path.join(base, 'mount');
    await mkdir(directory);
    problems = [];
    witnessed = undefined;
  });
  afterEach(() => rm(base, { recursive: true, force: true }));

  const copying = ({ store }: Audited<MemoryAuditStore>): NoteCopies =>
    new NoteCopies({
      store,
      logId: 'log-7',
      logs: async () => (await store.latestNotes('log-7')).map(({ log }) => log),
      directory,
      memory: path.join(base, 'memory'),
      cosigned: () => Promise.resolve(witnessed),
      timers: { after: () => () => undefined },
      intervalMs: 1,
      onProblem: (problem) => problems.push(problem),
    });
  const lying = async (tree: string): Promise<Record<string, string>> => {
    const folder = path.join(directory, 'log-7', tree);
    const names = await readdir(folder);
    return Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await readFile(path.join(folder, name), 'utf8')] as const)),
    );
  };
  const expected = async ({ store }: Audited<MemoryAuditStore>, tree: 'p0' | 'root'): Promise<Record<string, string>> =>
    Object.fromEntries((await store.notes(tree, 'log-7', -1n, 1_000)).map(({ size, note }) => [`${size}.note`, note]));

  it('hold each note once, also those that were signed while the folder was away', async () => {
    const log = audited(7);
    await log.round(3);
    const copies = copying(log);
    await copies.round(NEVER);
    expect(await lying('p0')).toEqual(await expected(log, 'p0'));
    expect(await lying('root')).toEqual(await expected(log, 'root'));
    await rename(directory, `${directory}.away`);
    await log.round(3);
    await copies.round(NEVER);
    await copies.round(NEVER);
    expect(problems).toEqual([expect.stringContaining('is it mounted?')]);
    // The bare mount point is another folder.
    await mkdir(directory);
    await copies.round(NEVER);
    expect([copies.problem, await readdir(directory)]).toEqual([expect.stringContaining('not the folder that was used before'), []]);
    await rm(directory, { recursive: true });
    await rename(`${directory}.away`, directory);
    await copies.round(NEVER);
    expect([copies.problem, problems.length]).toEqual([null, 1]);
    expect(await lying('p0')).toEqual(await expected(log, 'p0'));
    // Also after a restart, and with a cosigned note beside.
    await log.round(2);
    witnessed = { size: 5n, note: 'cosigned' };
    await copying(log).round(NEVER);
    expect(await lying('root')).toEqual({ ...(await expected(log, 'root')), '5.cosigned.note': 'cosigned' });
    expect(problems).toHaveLength(1);
  });

  it('are never overwritten: another note under the same name is said, and a torn one gets a whole one beside it', async () => {
    const log = audited(7);
    await log.round(3);
    await copying(log).round(NEVER);
    const [name, note] = Object.entries(await lying('p0')).at(-1) as [string, string];
    const file = path.join(directory, 'log-7', 'p0', name);
    await rm(file);
    await writeFile(file, note.slice(0, 20));
    await copying(log).round(NEVER);
    expect([problems, (await lying('p0'))[name.replace('.note', '.whole.note')]]).toEqual([[], note]);
    await rm(file);
    await writeFile(file, 'another note');
    await copying(log).round(NEVER);
    expect(problems).toEqual([expect.stringContaining('two histories')]);
    expect(await readFile(file, 'utf8')).toBe('another note');
  });

  it('tell of a store that was set back', async () => {
    const log = audited(7);
    await log.round(6);
    await copying(log).round(NEVER);
    const younger = audited(7);
    await younger.round(1);
    await copying(younger).round(NEVER);
    expect(problems).toEqual([expect.stringContaining('the store was set back')]);
  });
});
