import { RETENTION_CLASSES, retentionClass, type Asked, type RetentionClass } from '#lib/compliance';
import type { ComplianceReads } from '#lib/projections';
import { actionOf } from '../compliance/compliance-service.js';

/** How long one class is kept just now, and who said so. */
export interface RetentionRule extends Pick<RetentionClass, 'name' | 'mustEnd' | 'streams' | 'events'> {
  readonly purpose: string;
  readonly keepDays: number | null;
  /** The action of two people that set it; null: nobody did. */
  readonly setBy: string | null;
  readonly setAt: number | null;
}

const PAGE = 100;
/** Rules are few; whoever sets more than that finds the oldest of them forgotten here. */
const MAX_PAGES = 50;

/** The table in code, with what two people set since: the last one carried out counts. */
export async function retentionRules(reads: Pick<ComplianceReads, 'actions'>): Promise<readonly RetentionRule[]> {
  const set = new Map<string, Pick<RetentionRule, 'purpose' | 'keepDays' | 'setBy' | 'setAt'>>();
  let after: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const { value } = await reads.actions({ kind: 'set-retention', stage: 'carried-out', first: PAGE, after });
    for (const row of value.rows) {
      const action = actionOf(row);
      if (action?.kind !== 'set-retention') continue;
      const known = set.get(action.retention);
      if (known !== undefined && (known.setAt ?? 0) >= (row.endedAt ?? 0)) continue;
      set.set(action.retention, { purpose: action.purpose, keepDays: action.keepDays, setBy: row.id, setAt: row.endedAt });
    }
    after = value.cursors.at(-1);
    if (!value.hasNextPage) break;
  }
  return RETENTION_CLASSES.map(({ name, mustEnd, streams, events, purpose, keepDays }) => ({
    ...{ name, mustEnd, streams, events },
    ...(set.get(name) ?? { purpose, keepDays, setBy: null, setAt: null }),
  }));
}

/** Why that rule cannot be set; null: it can. */
export function rejectedRule({ retention, keepDays }: Extract<Asked, { kind: 'set-retention' }>): string | null {
  const known = retentionClass(retention);
  if (known === undefined)
    return `there is no retention class ${retention}; there are ${RETENTION_CLASSES.map(({ name }) => name).join(', ')}`;
  if (known.mustEnd && keepDays === null) return `${retention} tells of readers, who may be children: it needs an end`;
  return null;
}
