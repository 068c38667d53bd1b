import type { BundleReport, CosignatureReport, Finding, Place, SealedReport, TimestampReport, TreeReport, WitnessReport } from '#lib/audit';
import { byteSize, counted, grouped, instant, oneLine, painter, table, wrapped } from './layout.js';
import type { Terminal } from './terminal.js';

/** What a verified bundle holds, by whose keys, what was found in it and what it cannot show: for people. */
export function bundleReport(terminal: Terminal, bundle: string, report: BundleReport): void {
  const paint = painter(terminal);
  const { ok, findings, findingsTotal, trees, notShown, keyTrusted } = report;
  const fact = (name: string, value: string | null): void =>
    terminal.out(`  ${paint('dim', name.padEnd(9))}${value === null ? '(unreadable)' : oneLine(value)}\n`);
  terminal.out(`${paint('bold', oneLine(bundle))}  ${byteSize(report.bytes)}\n`);
  fact('export', report.exportId);
  fact('log', report.logId);
  fact('key', report.vkey);
  if (report.manifestSha256 !== null) fact('manifest', `sha256 ${report.manifestSha256}`);
  if (report.verifier !== null) fact('carries', `verify.mjs, sha256 ${report.verifier}`);
  if (report.filter !== null) fact('filter', filterText(report.filter));
  if (report.timestamp !== null) fact('stamped', timestampText(report.timestamp));
  for (const line of witnessLines(report.witnesses)) fact('witness', line);
  if (report.sealed !== null) fact('sealed', sealedText(report.sealed));
  terminal.out(
    `           ${keyTrusted === 'given' ? paint('green', 'the key that you gave') : paint('yellow', "the bundle's own key: give yours with --key")}\n\n`,
  );
  const filtered = report.filter?.kind === 'term';
  if (trees.length > 0) {
    terminal.out(
      table(terminal, trees, [
        { title: 'tree', cell: ({ tree }) => tree },
        { title: 'leaves', cell: ({ leaves }) => leaves },
        ...(filtered ? [{ title: 'shown', cell: ({ shown }: TreeReport) => grouped(shown) }] : []),
        ...(trees.some(({ bodies }) => bodies !== null) ? [{ title: 'bodies', cell: bodiesText }] : []),
        { title: 'range', cell: ({ from, to }) => `${grouped(from)}–${grouped(to)}` },
        { title: 'of', cell: ({ size }) => (size === '' ? '?' : grouped(size)) },
        { title: 'until', cell: ({ lastTime }) => (lastTime === null ? '' : instant(lastTime)) },
        { title: 'verdicts', cell: verdicts, flexible: true },
      ]),
    );
    terminal.out('\n');
  }
  for (const finding of findings) terminal.out(findingText(terminal, finding));
  if (findingsTotal > findings.length) terminal.out(`  … and ${counted(findingsTotal - findings.length, 'more finding')}\n`);
  const leaves = trees.reduce((sum, tree) => sum + tree.leaves, 0);
  if (ok)
    terminal.out(
      `${paint('green', '✓')} ${paint('bold', 'Verified')}: ${counted(leaves, 'leaf', 'leaves')} in ${counted(trees.length, 'tree')} give the signed roots\n`,
    );
  else
    terminal.out(
      `${paint('red', '✗')} ${paint('bold', 'Not genuine')}: ${counted(findingsTotal, 'finding')}, exit code ${report.exitCode}\n`,
    );
  if (report.coverage !== null) terminal.out(coverageText(terminal, report.coverage));
  terminal.out(paint('dim', 'What this bundle cannot show by itself:\n'));
  for (const one of notShown) terminal.out(paint('dim', `  - ${wrapped(oneLine(one), terminal.columns, '    ')}\n`));
}

function coverageText(terminal: Terminal, { kind, asked, missing }: NonNullable<BundleReport['coverage']>): string {
  const paint = painter(terminal);
  if (kind === 'whole') return `${paint('green', '✓')} ${paint('bold', 'Whole')}: every tree that the root tree names, to its end\n`;
  if (kind === 'unknown')
    return `${paint('yellow', '!')} ${paint('bold', 'Whether this is everything cannot be known')}: the whole root tree is not in it; --whole refuses that\n`;
  const ordered =
    asked === 'part' ? 'it says that a part was ordered' : asked === 'everything' ? 'it says that everything was ordered' : '';
  const lines = missing.map((one) => `  - not here: ${wrapped(oneLine(one), terminal.columns, '    ')}\n`).join('');
  return `${paint('yellow', '!')} ${paint('bold', 'ONLY A PART')} of the log${ordered === '' ? '' : `: ${ordered}`}\n${lines}`;
}

function filterText(filter: NonNullable<BundleReport['filter']>): string {
  if (filter.kind === 'term') return `${filter.term.type} ${filter.term.value}: every leaf that has it, of the others their hashes`;
  const { from, to } = filter;
  return [from === undefined ? '' : `from ${instant(Number(from))}`, to === undefined ? '' : `before ${instant(Number(to))}`]
    .join(' ')
    .trim();
}

const SIGNED: Readonly<Record<TimestampReport['signature'], string>> = {
  verified: 'its signature is right',
  wrong: 'its signature is WRONG',
  'not-checked': 'its signature was not checked',
};

function timestampText({ stampedAt, size, signer, signature }: TimestampReport): string {
  return `${instant(stampedAt)} by ${signer ?? 'nobody named'}: root tree of ${size === '' ? '?' : grouped(size)}; ${SIGNED[signature]}`;
}

function sealedText({ fields, erased, erasures, complete }: SealedReport): string {
  const gone = `${complete ? '' : 'at least '}${grouped(erased)} of them erased`;
  return `${counted(fields, 'field')} in the records, ${gone}; ${counted(erasures, 'erasure')} told of`;
}

function witnessLines({ quorum, size, cosignatures }: WitnessReport): readonly string[] {
  const said: Readonly<Record<CosignatureReport['state'], string>> = {
    verified: 'right',
    wrong: 'WRONG',
    'not-trusted': quorum === 'unchecked' ? 'not checked: no policy was given' : 'not in your policy',
  };
  return [
    ...(quorum === 'reached' ? [`the quorum of your policy cosigned the root tree of ${grouped(size ?? '')}`] : []),
    ...(quorum === 'missing' ? ['the quorum of your policy is missing'] : []),
    ...cosignatures.map(
      (one) =>
        `${one.name}+${one.keyId}${one.cosignedAt === null ? '' : `, ${instant(one.cosignedAt)}`}: root tree of ${grouped(one.size)}; ${said[one.state]}`,
    ),
  ];
}

function bodiesText({ bodies }: TreeReport): string {
  if (bodies === null) return '';
  return `${grouped(bodies.shown)}${bodies.missing === 0 ? '' : `, ${grouped(bodies.missing)} kept no more`}`;
}

function verdicts({ verdicts: counts }: BundleReport['trees'][number]): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([verdict, count]) => `${grouped(count)} ${verdict}`)
    .join(', ');
}

export function findingText(terminal: Terminal, { kind, message, where }: Finding): string {
  const paint = painter(terminal);
  return `${paint('red', kind)}  ${wrapped(oneLine(message), terminal.columns, '  ')}\n${paint('dim', `  ${placeText(where)}`)}\n`;
}

function placeText({ file, line, byte, tree, index, offset }: Place): string {
  const parts = [
    file === undefined ? undefined : oneLine(file),
    line === undefined ? undefined : `line ${grouped(line)}`,
    byte === undefined ? undefined : `byte ${grouped(byte)}`,
    tree === undefined ? undefined : `tree ${oneLine(tree)}`,
    index === undefined ? undefined : `leaf ${oneLine(index)}`,
    offset === undefined ? undefined : `offset ${oneLine(offset)}`,
  ];
  return parts.filter((part) => part !== undefined).join(', ');
}
