import { InvalidArgumentError } from 'commander';
import { parseLogName, type LogName } from '#lib/audit';

/** Readers of arguments and options: what they refuse is bad usage. */

export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`A whole number from ${least} to ${most} is needed.`);
  };
}

/** A position in a tree or its size: up to 63 bits, written without leading zeros. */
export function bigCount(text: string): bigint {
  if (!/^(0|[1-9]\d{0,18})$/.test(text)) throw new InvalidArgumentError('A whole number is needed.');
  return BigInt(text);
}

export function logName(text: string): LogName {
  const log = parseLogName(text);
  if (log === undefined) throw new InvalidArgumentError('Logs are named p0, p1, …, root and access.');
  return log;
}

export function contentHash(text: string): string {
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new InvalidArgumentError('A content hash is 64 hexadecimal digits; `fabula story hash FILE` prints one.');
  return text;
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `90s`, `15m`, `12h`, `1d` in seconds; at most a year. */
export function seconds(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,7})([smhd])$/.exec(text) ?? [];
  const value = Number(count) * (UNITS[unit ?? ''] ?? Number.NaN);
  if (!(value <= 366 * 86_400)) throw new InvalidArgumentError('A duration like 90s, 15m, 12h or 1d is needed, a year at most.');
  return value;
}

/** `--from a --from b`, in one list. */
export const repeated = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];
