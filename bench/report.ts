import { median, quantile, ratios, type SideName } from './measure/rounds.js';
import type { Goal, RowReport } from './row.js';

/** What is printed of a row, one JSON object a line. */
export interface ResultLine {
  readonly row: string;
  readonly unit: string;
  /** Medians over rounds; null where the row has no such side. */
  readonly fabula: number | null;
  readonly peer: number | null;
  readonly floor: number | null;
  /** Median of the ratios within each round. */
  readonly ratioToPeer: number | null;
  readonly ratioToFloor: number | null;
  /** The quarter of the rounds that was worst for Fabula begins here. */
  readonly worstQuartileToPeer: number | null;
  readonly worstQuartileToFloor: number | null;
  readonly rounds: number;
  readonly goals: readonly (Goal & { readonly reached: number; readonly met: boolean })[];
  readonly met: boolean;
  readonly verified: readonly string[];
  readonly [more: string]: unknown;
}

export function lineOf(report: RowReport, rounds: number): ResultLine {
  const { sides, goals } = report;
  const ratio = (to: Goal['to']): readonly number[] | undefined => {
    const other = sides[to];
    return sides.fabula === undefined || other === undefined ? undefined : ratios(sides.fabula, other);
  };
  const middle = (to: Goal['to']): number | null => rounded(ratio(to), median);
  const worst = (to: Goal['to']): number | null => {
    const lowerIsBetter = goals.some((goal) => goal.atMost !== undefined);
    return rounded(ratio(to), (values) => quantile(values, lowerIsBetter ? 0.75 : 0.25));
  };
  const judged = goals.map((goal) => {
    const reached = middle(goal.to) ?? Number.NaN;
    return { ...goal, reached, met: reached >= (goal.atLeast ?? -Infinity) && reached <= (goal.atMost ?? Infinity) };
  });
  const per = (of: (name: SideName) => unknown): Record<string, unknown> =>
    Object.fromEntries((Object.keys(sides) as SideName[]).map((name) => [name, of(name)]).filter(([, value]) => value !== undefined));
  return {
    row: report.row,
    unit: report.unit,
    fabula: significant(sides.fabula?.median),
    peer: significant(sides.peer?.median),
    floor: significant(sides.floor?.median),
    ratioToPeer: middle('peer'),
    ratioToFloor: middle('floor'),
    worstQuartileToPeer: worst('peer'),
    worstQuartileToFloor: worst('floor'),
    rounds,
    goals: judged,
    met: judged.every(({ met }) => met),
    verified: report.verified,
    peerIs: report.peer,
    floorIs: report.floor,
    latencyMs: per((name) => sides[name]?.latency && mapped(sides[name].latency, significant)),
    cpuMicrosPerOperation: per((name) => significant(sides[name]?.cpuMicrosPerOperation)),
    samples: per((name) => sides[name]?.samples.map(significant)),
    foreignCpu: significant(report.foreignCpu),
    ...report.extra,
  };
}

/** For people: what was promised, what was reached. */
export function table(lines: readonly ResultLine[]): string {
  const head = ['row', 'unit', 'fabula', 'peer', 'floor', 'to peer', 'to floor', 'goal', ''];
  const body = lines.map((line) => [
    line.row,
    line.unit,
    shown(line.fabula),
    shown(line.peer),
    shown(line.floor),
    shown(line.ratioToPeer),
    shown(line.ratioToFloor),
    line.goals.map(({ to, atLeast, atMost }) => `${atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`} × ${to}`).join(', '),
    line.goals.length === 0 ? '' : line.met ? 'met' : 'MISSED',
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...body.map((cells) => (cells[column] ?? '').length)));
  return [head, ...body]
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function shown(value: number | null): string {
  return value === null ? '–' : value >= 100 ? Math.round(value).toLocaleString('en') : String(value);
}

function rounded(values: readonly number[] | undefined, of: (values: readonly number[]) => number): number | null {
  return values === undefined ? null : significant(of(values));
}

function significant(value: number | undefined): number | null {
  return value === undefined || Number.isNaN(value) ? null : Number(value.toPrecision(4));
}

function mapped<T extends object>(object: T, of: (value: number) => number | null): Record<string, number | null> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, of(value as number)]));
}
