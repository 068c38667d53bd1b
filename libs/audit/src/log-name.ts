/** One tree per partition, the root tree over their notes, and the access log's own tree. */
export type LogName = 'root' | 'access' | `p${number}`;

export const partitionLog = (partition: number): `p${number}` => `p${partition}`;

/** `p0`, `p1`, …, `root` or `access`; undefined for any other text. */
export function parseLogName(text: string): LogName | undefined {
  return text === 'root' || text === 'access' || /^p(?:0|[1-9][0-9]{0,3})$/.test(text) ? (text as LogName) : undefined;
}

/** The partition's number; undefined for a tree that has no partition of the event log behind it. */
export function partitionOfLog(log: LogName): number | undefined {
  return log === 'root' || log === 'access' ? undefined : Number(log.slice(1));
}
