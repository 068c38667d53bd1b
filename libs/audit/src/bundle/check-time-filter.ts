import type { ExportedTree, ExportFilter } from './bundle-format.js';
import type { Findings, Place } from './findings.js';
import type { LeafSequence } from './leaf-sequence.js';

/**
 * Exported by time: the leaves in it, and the neighbour on either side as a witness that nothing belongs before or behind. Rests on log times
 * that do not run backwards where they were not shown, which the report says.
 */
export function checkTimeFilter(
  findings: Findings,
  filter: Extract<ExportFilter, { kind: 'time' }>,
  tree: ExportedTree,
  size: bigint,
  { opening, closing, leaves }: LeafSequence,
  where: Place,
): void {
  const from = filter.from === undefined ? -Infinity : Number(filter.from);
  const to = filter.to === undefined ? Infinity : Number(filter.to);
  const inside = (time: number | undefined): boolean => time !== undefined && time >= from && time < to;
  const last = String(BigInt(tree.to) - 1n);
  if (BigInt(tree.from) > 0n && !((opening[0] ?? Infinity) < from)) {
    findings.add('INCOMPLETE', `no leaf before leaf ${tree.from} of ${tree.tree} shows that the time begins there`, {
      ...where,
      index: tree.from,
    });
  }
  if (BigInt(tree.to) < size && !((closing.at(-1) ?? -Infinity) >= to)) {
    findings.add('INCOMPLETE', `no leaf behind leaf ${last} of ${tree.tree} shows that the time ends there`, { ...where, index: last });
  }
  if (leaves <= 2) return;
  if (!inside(opening[0]) && !inside(opening[1])) {
    findings.add('SURPLUS', `leaf ${tree.from} of ${tree.tree} is not next to the time that was asked for`, { ...where, index: tree.from });
  }
  if (!inside(closing.at(-1)) && !inside(closing.at(-2))) {
    findings.add('SURPLUS', `leaf ${last} of ${tree.tree} is not next to the time that was asked for`, { ...where, index: last });
  }
}
