import { Counters } from './counters.js';
import type {
  CheckpointRow,
  CommandRow,
  ComplianceActionRow,
  ComplianceEventRow,
  ComplianceHoldRow,
  ParkedRecordRow,
  ParkedRow,
  PlaythroughRow,
  StoryRow,
  StoryVersionRow,
  StreamRow,
  TurnRow,
} from './read-model.js';
import { TABLES, type AnyRow, type ReadModelRows, type Table, type TableName } from './tables.js';

/** Rows that a batch will write, gathered while it is folded; a later row of the same key replaces the earlier one. */
export class BatchRows {
  readonly counters: Counters;
  private readonly streams = new Map<string, ReadModelRows['streams']>();
  private readonly commands: ReadModelRows['commands'][] = [];
  private readonly turns: ReadModelRows['turns'][] = [];
  private readonly playthroughs = new Map<string, ReadModelRows['playthroughs']>();
  private readonly checkpoints = new Map<string, ReadModelRows['checkpoints']>();
  private readonly stories = new Map<string, ReadModelRows['stories']>();
  private readonly storyVersions = new Map<string, ReadModelRows['storyVersions']>();
  private readonly complianceActions = new Map<string, ReadModelRows['complianceActions']>();
  private readonly complianceHolds = new Map<string, ReadModelRows['complianceHolds']>();
  private readonly complianceEvents: ReadModelRows['complianceEvents'][] = [];
  private readonly parked: ReadModelRows['parked'][] = [];
  private readonly parkedRecords: ReadModelRows['parkedRecords'][] = [];

  constructor(readonly partition: number) {
    this.counters = new Counters(partition);
  }

  stream(row: StreamRow): void {
    const { stream, version, previous, state, updatedOffset } = row;
    this.streams.set(stream, { stream, partition: this.partition, version, previous, state, updatedOffset });
  }
  command(row: CommandRow): void {
    const { stream, version, commandId, commandDigest, offset } = row;
    this.commands.push({ stream, partition: this.partition, version, commandId, commandDigest, offset });
  }
  turn(row: TurnRow): void {
    const { playthroughId, turn, offset, kind, passageId, choiceId, correlationId, at, stateHash, events, snapshot } = row;
    const { partition } = this;
    this.turns.push({ playthroughId, partition, turn, offset, kind, passageId, choiceId, correlationId, at, stateHash, events, snapshot });
  }
  playthrough(row: PlaythroughRow): void {
    this.replace('playthroughs', this.playthroughs, row.id, this.placed(row));
  }
  checkpoint(row: CheckpointRow): void {
    this.checkpoints.set(`${row.playthroughId}\n${row.turn}\n${row.mark}`, this.placed(row));
  }
  story(row: StoryRow): void {
    this.stories.set(row.id, this.placed(row));
  }
  storyVersion(row: StoryVersionRow): void {
    this.replace('storyVersions', this.storyVersions, `${row.storyId}\n${row.versionHash}`, this.placed(row));
  }
  complianceAction(row: ComplianceActionRow): void {
    this.replace('complianceActions', this.complianceActions, row.id, this.placed(row));
  }
  complianceHold(row: ComplianceHoldRow): void {
    this.replace('complianceHolds', this.complianceHolds, row.id, this.placed(row));
  }
  complianceEvent(row: ComplianceEventRow): void {
    this.complianceEvents.push(this.placed(row));
  }
  park(row: ParkedRow): void {
    this.parked.push(this.placed(row));
  }
  retain(row: ParkedRecordRow): void {
    this.parkedRecords.push(this.placed(row));
  }

  all(): { readonly [table in TableName]: readonly ReadModelRows[table][] } {
    return {
      streams: [...this.streams.values()],
      commands: this.commands,
      playthroughs: [...this.playthroughs.values()],
      turns: this.turns,
      checkpoints: [...this.checkpoints.values()],
      stories: [...this.stories.values()],
      storyVersions: [...this.storyVersions.values()],
      choiceStats: this.counters.choiceStats(),
      passageStats: this.counters.passageStats(),
      endingStats: this.counters.endingStats(),
      complianceActions: [...this.complianceActions.values()],
      complianceHolds: [...this.complianceHolds.values()],
      complianceEvents: this.complianceEvents,
      parked: this.parked,
      parkedRecords: this.parkedRecords,
    };
  }

  private replace<Name extends TableName>(name: Name, rows: Map<string, ReadModelRows[Name]>, key: string, row: ReadModelRows[Name]): void {
    const known = rows.get(key) as AnyRow | undefined;
    if (known !== undefined) {
      // The row is this batch's own, so it need not be copied once more.
      const own = row as unknown as { [column: string]: unknown };
      for (const column of (TABLES[name] as Table<never>).keptWhenNull ?? []) own[column] ??= known[column];
    }
    rows.set(key, row);
  }

  /** Copying by spread costs more than the row itself: rows that come with every record are written out above. */
  private placed<Row>(row: Row): Row & { readonly partition: number } {
    return { ...row, partition: this.partition };
  }
}
