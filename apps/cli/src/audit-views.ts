import { writeViews } from '#lib/audit';
import { reportOn, type VerifyCommand } from './audit-verify.js';
import { bundleReport } from './bundle-report.js';
import type { Cli } from './cli.js';
import { EXIT } from './exit-codes.js';
import { counted, json, oneLine } from './layout.js';

export interface ViewsCommand extends VerifyCommand {
  readonly out: string;
}

/** Derives tables and events from an export that verifies; of any other one nothing is written. */
export async function views({ terminal }: Cli, bundle: string, options: ViewsCommand): Promise<number> {
  const { report, files } = await reportOn(bundle, options, (wanted) => writeViews(bundle, options.out, wanted));
  if (options.json) terminal.out(json({ bundle, out: options.out, files, ok: report.ok, exitCode: report.exitCode }));
  else {
    bundleReport(terminal, bundle, report);
    terminal.out(`${counted(files.length, 'file')} in ${oneLine(options.out)}${files.length === 0 ? '' : `: ${files.join(', ')}`}\n`);
  }
  return report.ok ? EXIT.ok : report.exitCode;
}
