import { complianceStateFromJson, COMPLIANCE_STREAM, type ComplianceState, type LogBaseTaken } from '#lib/compliance';
import type { LiveGeneration } from './generations.js';
import { decodeCursor, pageLimit, pageOf, type Page } from './page.js';
import type { ComplianceActionRow, ComplianceEventRow, ComplianceHoldRow } from './read-model.js';
import { columns } from './read-model-queries.js';
import { askLive, type Answer, type PageRequest } from './read-models.js';

export interface ActionFilter {
  readonly stage?: ComplianceActionRow['stage'] | undefined;
  readonly kind?: string | undefined;
}

/** What of a subject a narrower hold may touch. */
export interface Touched {
  readonly scopeKind: 'story' | 'playthrough';
  readonly scopeId: string;
}

/** What was recorded of a base of the log, and where that record stands. */
export interface BaseTaken {
  readonly action: string;
  readonly partition: number;
  readonly offset: number;
  readonly digest: string;
  readonly recordPartition: number;
  readonly recordOffset: number;
}

/** Queries about actions, holds and broken glasses against the live generation. */
export class ComplianceReads {
  constructor(private readonly live: LiveGeneration) {}

  /** As of the read models; null before the first event. */
  async state(): Promise<ComplianceState | null> {
    const { rows } = await this.live.query<{ state: string | null }>(
      'compliance_state',
      (schema) => `select state from ${schema}.stream_heads where stream = $1`,
      [COMPLIANCE_STREAM],
    );
    const state = rows[0]?.state ?? null;
    return state === null ? null : complianceStateFromJson(state);
  }

  /** Newest first. */
  async actions(request: PageRequest & ActionFilter): Promise<Answer<Page<ComplianceActionRow>>> {
    const [at, id] = decodeCursor(request.after, ['number', 'string']) ?? [null, null];
    const values = [at, id, pageLimit(request.first), request.stage ?? null, request.kind ?? null];
    const { value, asOf } = await askLive<ComplianceActionRow>(this.live, 'compliance_actions', actions, values);
    return { value: pageOf(value, request.first, (row) => [row.proposedAt ?? 0, row.id]), asOf };
  }

  async action(id: string): Promise<Answer<ComplianceActionRow | undefined>> {
    const { value, asOf } = await askLive<ComplianceActionRow>(this.live, 'compliance_action', action, [id]);
    return { value: value[0], asOf };
  }

  /** Newest first. */
  async holds(request: PageRequest & { readonly active: boolean }): Promise<Answer<Page<ComplianceHoldRow>>> {
    const [at, id] = decodeCursor(request.after, ['number', 'string']) ?? [null, null];
    const values = [at, id, pageLimit(request.first), request.active];
    const { value, asOf } = await askLive<ComplianceHoldRow>(this.live, 'compliance_holds', holds, values);
    return { value: pageOf(value, request.first, (row) => [row.placedAt ?? 0, row.id]), asOf };
  }

  /** Everything that was ever decided, oldest first. */
  async events(request: PageRequest): Promise<Answer<Page<ComplianceEventRow>>> {
    const [sequence] = decodeCursor(request.after, ['number']) ?? [0];
    const { value, asOf } = await askLive<ComplianceEventRow>(this.live, 'compliance_events', events, [sequence, pageLimit(request.first)]);
    return { value: pageOf(value, request.first, (row) => [row.sequence]), asOf };
  }

  /** Every base that was recorded, oldest first: one per partition of an action. */
  async basesTaken(): Promise<readonly BaseTaken[]> {
    const { rows } = await this.live.query<{ partition: number; offset: string; subject: string; event: string }>(
      'compliance_bases',
      (schema) =>
        `select partition, "offset", subject, event from ${schema}.compliance_events where type = 'LogBaseTaken' order by sequence`,
      [],
    );
    return rows.map(({ partition: recordPartition, offset: recordOffset, subject, event }) => {
      const { partition, offset, digest } = JSON.parse(event) as LogBaseTaken;
      return { action: subject, partition, offset, digest, recordPartition, recordOffset: Number(recordOffset) };
    });
  }

  /** Whether a playthrough of that pseudonym is known. */
  async plays(subject: string): Promise<boolean> {
    const { rows } = await this.live.query<{ plays: boolean }>(
      'compliance_plays',
      (schema) => `select exists (select from ${schema}.playthroughs where reader = $1) as plays`,
      [subject],
    );
    return rows[0]?.plays === true;
  }

  /**
   * Which of these holds touch a subject: it has that playthrough, or a playthrough of that story; or a playthrough was parked before it had a
   * row, of which nobody knows whose it is and of which story.
   */
  async touching(subject: string, scopes: readonly Touched[]): Promise<readonly Touched[]> {
    if (scopes.length === 0) return [];
    const { rows } = await this.live.query<{ kind: Touched['scopeKind']; id: string }>('compliance_touching', touching, [
      subject,
      scopes.map(({ scopeKind }) => scopeKind),
      scopes.map(({ scopeId }) => scopeId),
    ]);
    return rows.map(({ kind, id }) => ({ scopeKind: kind, scopeId: id }));
  }
}

function actions(schema: string): string {
  return `select ${columns('complianceActions', 'a', ['partition'])} from ${schema}.compliance_actions a
    where ($1::bigint is null or (a.proposed_at, a.id) < ($1::bigint, $2::text)) and ($4::text is null or a.stage = $4)
      and ($5::text is null or a.kind = $5)
    order by a.proposed_at desc, a.id desc limit $3`;
}

function action(schema: string): string {
  return `select ${columns('complianceActions', 'a', ['partition'])} from ${schema}.compliance_actions a where a.id = $1`;
}

function holds(schema: string): string {
  return `select ${columns('complianceHolds', 'h', ['partition'])} from ${schema}.compliance_holds h
    where ($1::bigint is null or (h.placed_at, h.id) < ($1::bigint, $2::text)) and (not $4::boolean or h.released_at is null)
    order by h.placed_at desc, h.id desc limit $3`;
}

function events(schema: string): string {
  return `select ${columns('complianceEvents', 'e', ['partition'])} from ${schema}.compliance_events e
    where e.sequence > $1::bigint order by e.sequence limit $2`;
}

function touching(schema: string): string {
  return `select distinct s.kind, s.id from unnest($2::text[], $3::text[]) s(kind, id)
    where exists (select 1 from ${schema}.playthroughs t where t.reader = $1
      and ((s.kind = 'playthrough' and t.id = s.id) or (s.kind = 'story' and t.story_id = s.id)))
    or exists (select 1 from ${schema}.parked p where p.stream like 'playthrough/%'
      and (s.kind = 'story' or p.stream = 'playthrough/' || s.id)
      and not exists (select 1 from ${schema}.playthroughs t where 'playthrough/' || t.id = p.stream))`;
}
