import type { ReadModelRows } from './tables.js';

type ChoiceStat = ReadModelRows['choiceStats'];
type PassageStat = ReadModelRows['passageStats'];
type EndingStat = ReadModelRows['endingStats'];

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type PassageCount = 'entered' | 'left' | 'ended' | 'rewoundTo' | 'rewoundFrom' | 'standing';

/** Increments of one batch: one entry per counter however many records touched it. */
export class Counters {
  private readonly choices = new Map<string, Mutable<ChoiceStat>>();
  private readonly passages = new Map<string, Mutable<PassageStat>>();
  private readonly endings = new Map<string, Mutable<EndingStat>>();

  constructor(private readonly partition: number) {}

  choice(storyId: string, versionHash: string, passageId: string, choiceId: string): Mutable<ChoiceStat> {
    const key = `${storyId}\n${versionHash}\n${passageId}\n${choiceId}`;
    let stat = this.choices.get(key);
    if (stat === undefined) {
      stat = { partition: this.partition, storyId, versionHash, passageId, choiceId, offered: 0, visible: 0, enabled: 0, picked: 0 };
      this.choices.set(key, stat);
    }
    return stat;
  }

  passage(storyId: string, versionHash: string, passageId: string, count: PassageCount, by: number): void {
    const key = `${storyId}\n${versionHash}\n${passageId}`;
    let stat = this.passages.get(key);
    if (stat === undefined) {
      stat = {
        partition: this.partition,
        storyId,
        versionHash,
        passageId,
        entered: 0,
        left: 0,
        ended: 0,
        rewoundTo: 0,
        rewoundFrom: 0,
        standing: 0,
      };
      this.passages.set(key, stat);
    }
    stat[count] += by;
  }

  ending(storyId: string, versionHash: string, ending: string): void {
    const key = `${storyId}\n${versionHash}\n${ending}`;
    let stat = this.endings.get(key);
    if (stat === undefined) {
      stat = { partition: this.partition, storyId, versionHash, ending, reached: 0 };
      this.endings.set(key, stat);
    }
    stat.reached++;
  }

  /** Sorted by key, so that every writer touches rows in one order. */
  choiceStats(): readonly ChoiceStat[] {
    return sorted(this.choices);
  }
  passageStats(): readonly PassageStat[] {
    return sorted(this.passages);
  }
  endingStats(): readonly EndingStat[] {
    return sorted(this.endings);
  }
}

function sorted<T>(stats: ReadonlyMap<string, T>): readonly T[] {
  return [...stats].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, stat]) => stat);
}
