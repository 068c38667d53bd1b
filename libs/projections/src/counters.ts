import type { ReadModelRows } from './tables.js';

type ChoiceStat = ReadModelRows['choiceStats'];
type PassageStat = ReadModelRows['passageStats'];
type EndingStat = ReadModelRows['endingStats'];
type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type PassageCount = 'entered' | 'left' | 'ended' | 'rewoundTo' | 'rewoundFrom' | 'standing';

/** Increments of one version in one batch: one entry per counter however many records touched it. */
export class VersionCounters {
  private readonly passages = new Map<string, Mutable<PassageStat>>();
  private readonly choices = new Map<string, Map<string, Mutable<ChoiceStat>>>();
  private readonly endings = new Map<string, Mutable<EndingStat>>();

  constructor(private readonly key: { readonly partition: number; readonly storyId: string; readonly versionHash: string }) {}

  choice(passageId: string, choiceId: string): Mutable<ChoiceStat> {
    let choices = this.choices.get(passageId);
    if (choices === undefined) this.choices.set(passageId, (choices = new Map<string, Mutable<ChoiceStat>>()));
    let stat = choices.get(choiceId);
    if (stat === undefined) {
      stat = { ...this.key, passageId, choiceId, offered: 0, visible: 0, enabled: 0, picked: 0 };
      choices.set(choiceId, stat);
    }
    return stat;
  }

  /** The row exists once it was touched, even by +1 and -1: which rows there are must not depend on where batches end. */
  passage(passageId: string, count: PassageCount, by: number): void {
    let stat = this.passages.get(passageId);
    if (stat === undefined) {
      stat = { ...this.key, passageId, entered: 0, left: 0, ended: 0, rewoundTo: 0, rewoundFrom: 0, standing: 0 };
      this.passages.set(passageId, stat);
    }
    stat[count] += by;
  }

  ending(ending: string): void {
    let stat = this.endings.get(ending);
    if (stat === undefined) {
      stat = { ...this.key, ending, reached: 0 };
      this.endings.set(ending, stat);
    }
    stat.reached++;
  }

  choiceStats(): readonly ChoiceStat[] {
    return byKey(this.choices).flatMap((choices) => byKey(choices));
  }
  passageStats(): readonly PassageStat[] {
    return byKey(this.passages);
  }
  endingStats(): readonly EndingStat[] {
    return byKey(this.endings);
  }
}

/** Increments of one batch. Every list is sorted by key, so that every writer touches rows in one order. */
export class Counters {
  private readonly stories = new Map<string, Map<string, VersionCounters>>();

  constructor(private readonly partition: number) {}

  version(storyId: string, versionHash: string): VersionCounters {
    let versions = this.stories.get(storyId);
    if (versions === undefined) this.stories.set(storyId, (versions = new Map<string, VersionCounters>()));
    let counters = versions.get(versionHash);
    if (counters === undefined) {
      counters = new VersionCounters({ partition: this.partition, storyId, versionHash });
      versions.set(versionHash, counters);
    }
    return counters;
  }

  choiceStats(): readonly ChoiceStat[] {
    return this.all().flatMap((version) => version.choiceStats());
  }
  passageStats(): readonly PassageStat[] {
    return this.all().flatMap((version) => version.passageStats());
  }
  endingStats(): readonly EndingStat[] {
    return this.all().flatMap((version) => version.endingStats());
  }

  private all(): readonly VersionCounters[] {
    return byKey(this.stories).flatMap((versions) => byKey(versions));
  }
}

function byKey<T>(entries: ReadonlyMap<string, T>): readonly T[] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
}
