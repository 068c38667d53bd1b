/** One tree per partition, and the root tree over their notes. */
export type LogName = 'root' | `p${number}`;

export const partitionLog = (partition: number): `p${number}` => `p${partition}`;

/** `p0`, `p1`, … or `root`; undefined for any other text. */
export function parseLogName(text: string): LogName | undefined {
  return text === 'root' || /^p(?:0|[1-9][0-9]{0,3})$/.test(text) ? (text as LogName) : undefined;
}

/** The partition's number; undefined for the root tree. */
export function partitionOfLog(log: LogName): number | undefined {
  return log === 'root' ? undefined : Number(log.slice(1));
}
