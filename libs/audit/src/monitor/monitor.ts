import type { TrustedKey } from '../tlog/index.js';
import { partitionLog } from '../log-name.js';
import { Raised, byWeight, type Alarm } from './alarms.js';
import type { MonitorState, WatchedTree } from './monitor-state.js';
import { beginAt, followed, openedNote, rootedNote, type MonitoredLogs, type MonitorSource, type RootedNote } from './watch-tree.js';

export interface MonitorOptions {
  readonly source: MonitorSource;
  /** Who may sign. */
  readonly keys: readonly TrustedKey[];
  readonly now: number;
  /** As the round before left it; undefined: the first one. */
  readonly state?: MonitorState | undefined;
  /** Without a newer note or a publication for so long: an alarm; twice the interval at which idle notes are published again. */
  readonly staleMs: number;
  /** Derive every root from the first leaf on, instead of beginning at the newest note. Only in the first round. */
  readonly fromStart?: boolean;
}

export interface MonitorRound {
  /** What is believed after it; what raised an alarm does not get into it. */
  readonly state: MonitorState | undefined;
  /** The worst first. */
  readonly alarms: readonly Alarm[];
  readonly trees: readonly { readonly log: string; readonly size: bigint }[];
}

/**
 * One look at an audit from outside. Notes of every tree are held to the keys, to what was seen before, to the entries and to the root tree;
 * sizes, offsets and counts to each other. Costs what is new since the round before, in memory that does not grow.
 * @throws the source's own errors when the server cannot be asked
 */
export async function monitorRound(options: MonitorOptions): Promise<MonitorRound> {
  const alarms: Alarm[] = [];
  const answer = await options.source.logs();
  const { logId } = options.state ?? answer;
  if (answer.logId !== logId) {
    const message = `log ${logId} was watched, the server has log ${answer.logId}: a move of the log begins a new watch`;
    return { state: options.state, alarms: [new Raised('OTHER_LOG', message).alarm], trees: [] };
  }
  const round = new Round(options, logId, alarms);
  await round.trees(answer);
  await round.reconcile();
  const state = { logId, trees: round.watched, standing: round.standing };
  return { state, alarms: byWeight(alarms), trees: [...round.watched].map(([log, { size }]) => ({ log, size })) };
}

class Round {
  readonly watched: Map<string, WatchedTree>;
  readonly standing: Map<string, { readonly at: number; readonly since: number }>;
  private readonly rooted = new Map<string, RootedNote[]>();
  private readonly name: string;

  constructor(
    private readonly options: MonitorOptions,
    private readonly logId: string,
    private readonly alarms: Alarm[],
  ) {
    this.watched = new Map(options.state?.trees ?? []);
    this.standing = new Map(options.state?.standing ?? []);
    this.name = options.keys[0]?.verifier.name ?? '';
  }

  async trees(answer: MonitoredLogs): Promise<void> {
    const others = new Set([...answer.logs.map(({ log }) => log), ...this.watched.keys()]);
    others.delete('root');
    // Notes first, the root tree after them: what is shown now it must hold then, or soon.
    const shown = new Map<string, string>();
    for (const log of others)
      await this.guarded(log, async () => {
        const text = await this.options.source.checkpoint(log);
        if (text !== undefined) shown.set(log, text);
        else if (this.watched.has(log))
          throw new Raised('ROLLED_BACK', `${log} was signed, now the server has no note of it`, { tree: log });
      });
    await this.guarded('root', () => this.root());
    for (const [log, text] of shown) await this.guarded(log, () => this.tree(log, text));
    const published = new Map(answer.logs.map(({ log, publishedAt }) => [log, publishedAt ?? '']));
    for (const log of this.watched.keys()) this.stale(log, published.get(log) ?? '');
  }

  private async root(): Promise<void> {
    const { source, keys, now, fromStart } = this.options;
    const text = await source.checkpoint('root');
    const known = this.watched.get('root');
    if (text === undefined) {
      if (known !== undefined) throw new Raised('ROLLED_BACK', 'root was signed, now the server has no note of it', { tree: 'root' });
      return;
    }
    const note = this.opened(text, 'root');
    this.notSmaller('root', known, note.size, text);
    if (known === undefined && fromStart !== true) {
      this.watched.set('root', await beginAt(source, 'root', text, note, now));
      return;
    }
    const found: (RootedNote & { readonly tree: string })[] = [];
    const next = await followed(source, 'root', known ?? blank(now), [{ note: text, size: note.size, root: note.root }], (entry) =>
      found.push(rootedNote(entry, keys, (tree) => this.origin(tree))),
    );
    // Believed only now that the root holds them.
    for (const { tree, ...rest } of found) this.rooted.set(tree, [...(this.rooted.get(tree) ?? []), rest]);
    this.watched.set('root', next);
  }

  private async tree(log: string, text: string): Promise<void> {
    const { source, now, fromStart, staleMs } = this.options;
    const note = this.opened(text, log);
    const known = this.watched.get(log);
    this.notSmaller(log, known, note.size, text);
    if (known === undefined && fromStart !== true) {
      this.watched.set(log, await beginAt(source, log, text, note, now));
      return;
    }
    const rooted = this.rooted.get(log) ?? [];
    const { shown: before, ...next } = await followed(source, log, known ?? blank(now), rooted);
    if (before !== undefined) this.kept(log, before, rooted, next);
    const ahead = note.size > next.size;
    const pending = ahead ? { note: text, since: before?.note === text ? before.since : now } : undefined;
    this.watched.set(log, pending === undefined ? next : { ...next, shown: pending });
    if (pending !== undefined && now - pending.since > staleMs)
      throw new Raised('NOTE_NOT_IN_ROOT', `the note of ${log} at size ${note.size} was shown, but the root tree does not hold it`, {
        tree: log,
        notes: [text],
      });
    if (!ahead && note.size === next.size && next.note !== undefined) {
      const own = this.opened(next.note, log);
      if (!own.root.equals(note.root))
        throw new Raised('FORK', `two signed trees of ${log} at size ${note.size}`, { tree: log, notes: [next.note, text] });
    }
  }

  /** A note that was shown before: the root tree passed it by, or holds another one of that size. */
  private kept(log: string, shown: { readonly note: string }, rooted: readonly RootedNote[], next: WatchedTree): void {
    const note = this.opened(shown.note, log);
    if (next.size < note.size) return;
    const held = rooted.find(({ size }) => size === note.size);
    if (held === undefined)
      throw new Raised('NOTE_NOT_IN_ROOT', `the note of ${log} at size ${note.size} was shown, but the root tree went on without it`, {
        tree: log,
        notes: [shown.note],
      });
    if (!held.root.equals(note.root))
      throw new Raised('FORK', `two signed trees of ${log} at size ${note.size}`, { tree: log, notes: [shown.note, held.note] });
  }

  private stale(log: string, publishedAt: string): void {
    const { now, staleMs } = this.options;
    const tree = this.watched.get(log) as WatchedTree;
    const mark = `${tree.size} ${tree.shown?.note.length ?? 0} ${publishedAt}`;
    const { published } = tree;
    if (published.mark !== mark) this.watched.set(log, { ...tree, published: { mark, since: now } });
    else if (now - published.since > staleMs) {
      const since = new Date(published.since).toISOString();
      this.alarms.push(new Raised('STALE', `since ${since} nothing of ${log} was signed or published again`, { tree: log }).alarm);
    }
  }

  /** Leaves, offsets of the log and read models counted against each other. */
  async reconcile(): Promise<void> {
    const { partitions, logId } = await this.options.source.reconciliation();
    if (logId !== this.logId) return;
    for (const { partition, logEnd, audited, projected } of partitions) {
      const tree = partitionLog(partition);
      const raise = (name: Alarm['name'], message: string): void => void this.alarms.push(new Raised(name, message, { tree }).alarm);
      const ends = this.standing.get(`end ${partition}`);
      const own = this.watched.get(tree);
      if (ends !== undefined && logEnd < ends.at) raise('LOG_SHRANK', `partition ${partition} ended at ${ends.at}, now at ${logEnd}`);
      else this.standing.set(`end ${partition}`, { at: logEnd, since: this.options.now });
      if (own !== undefined && own.nextOffset > logEnd)
        raise('LOG_SHRANK', `${tree} has leaves up to offset ${own.nextOffset - 1}, the log ends at ${logEnd}`);
      if (own !== undefined && audited < own.nextOffset)
        raise('ROLLED_BACK', `${tree} had leaves up to offset ${own.nextOffset - 1}, its auditor stands at ${audited}`);
      if (this.stands(`audited ${partition}`, audited, logEnd))
        raise('AUDIT_STANDS', `the auditor of partition ${partition} stands at ${audited}, the log ends at ${logEnd}`);
      if (projected === null) continue;
      const { nextOffset } = projected;
      if (nextOffset > logEnd)
        raise('LOG_SHRANK', `read models of partition ${partition} stand at ${nextOffset}, the log ends at ${logEnd}`);
      if (this.stands(`projected ${partition}`, nextOffset, logEnd))
        raise('PROJECTION_STANDS', `the projector of partition ${partition} stands at ${nextOffset}, the log ends at ${logEnd}`);
      if (own !== undefined && own.nextOffset === nextOffset) this.compareCounts(tree, own, projected, raise);
    }
  }

  /** Both stand at one offset: since the monitor began, each counted the same of every verdict. */
  private compareCounts(
    tree: string,
    own: WatchedTree,
    projected: Readonly<Record<string, number>>,
    raise: (name: Alarm['name'], message: string) => void,
  ): void {
    const difference: Record<string, number> = {};
    for (const verdict of VERDICTS) difference[verdict] = (projected[verdict] ?? 0) - (own.verdicts[verdict] ?? 0);
    const baseline = own.baseline ?? (this.options.fromStart === true ? {} : difference);
    const wrong = VERDICTS.filter((verdict) => difference[verdict] !== (baseline[verdict] ?? 0));
    if (own.baseline === undefined) this.watched.set(tree, { ...own, baseline });
    if (wrong.length === 0) return;
    const said = wrong.map((verdict) => `${(difference[verdict] ?? 0) - (baseline[verdict] ?? 0)} ${verdict}`).join(', ');
    raise('COUNTS_DIFFER', `read models of ${tree} count differently from its leaves: ${said}`);
  }

  private stands(what: string, at: number, end: number): boolean {
    const { now, staleMs } = this.options;
    const before = this.standing.get(what);
    if (at >= end || before?.at !== at) {
      this.standing.set(what, { at, since: now });
      return false;
    }
    return now - before.since > staleMs;
  }

  private notSmaller(log: string, known: WatchedTree | undefined, size: bigint, text: string): void {
    const newest = known?.shown ?? known;
    if (known === undefined || newest?.note === undefined) return;
    const { size: seen } = this.opened(newest.note, log);
    if (size < seen || size < known.size)
      throw new Raised('ROLLED_BACK', `${log} was signed at size ${seen}, now the server shows ${size}`, {
        tree: log,
        notes: [newest.note, text],
      });
  }

  private opened(text: string, log: string) {
    return openedNote(text, this.options.keys, this.origin(log), log);
  }
  private origin(log: string): string {
    return `${this.name}/${this.logId}/${log}`;
  }

  private async guarded(log: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Raised)) throw error;
      this.alarms.push({ tree: log, ...error.alarm });
    }
  }
}

const VERDICTS = ['accepted', 'duplicate', 'reused', 'conflict', 'invalid'];
const blank = (now: number): WatchedTree => ({ size: 0n, frontier: [], nextOffset: 0, verdicts: {}, published: { mark: '', since: now } });
