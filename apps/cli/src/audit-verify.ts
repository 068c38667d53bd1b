import { MalformedKey, MalformedNote, MalformedPolicy, MalformedTrust, verifyBundle, type VerifyOptions } from '#lib/audit';
import { errorCode } from '#lib/platform';
import { bundleReport } from './bundle-report.js';
import type { Cli } from './cli.js';
import { EXIT, wrongUsage } from './exit-codes.js';
import { json } from './layout.js';
import { keyOf, textOf } from './trusted-keys.js';

export interface VerifyCommand {
  readonly key?: string;
  readonly policy?: string;
  readonly previous?: readonly string[];
  readonly terms?: true;
  /** A part as it was ordered is good enough. */
  readonly partial?: true;
  /** Nothing but a whole that is shown to be one. */
  readonly whole?: true;
  readonly json?: true;
}

/** Verifies a bundle on its own bytes; answers the verifier's exit code. */
export async function verify(cli: Pick<Cli, 'terminal'>, bundle: string, options: VerifyCommand): Promise<number> {
  const { terminal } = cli;
  const report = await reportOn(bundle, options, (wanted) => verifyBundle(bundle, wanted));
  if (options.json) terminal.out(json({ bundle, ...report }));
  else bundleReport(terminal, bundle, report);
  return report.ok ? EXIT.ok : report.exitCode;
}

/** @throws CliFailure for a key, note or file that cannot be used */
export async function reportOn<T>(bundle: string, options: VerifyCommand, work: (options: VerifyOptions) => Promise<T>): Promise<T> {
  if (options.partial === true && options.whole === true) throw wrongUsage('Either --partial or --whole.');
  const vkey = options.key === undefined ? undefined : await keyOf(options.key);
  const policy = options.policy === undefined ? undefined : await textOf(options.policy);
  const previousNotes = await Promise.all((options.previous ?? []).map((file) => textOf(file)));
  try {
    return await work({
      ...(vkey === undefined ? {} : { vkey }),
      ...(policy === undefined ? {} : { policy }),
      previousNotes,
      deriveTerms: options.terms === true,
      ...(options.partial === true ? { accept: 'part' } : options.whole === true ? { accept: 'whole' } : {}),
    });
  } catch (error) {
    if (error instanceof MalformedKey || error instanceof MalformedTrust) throw wrongUsage(`The key cannot be used: ${error.message}`);
    if (error instanceof MalformedPolicy) throw wrongUsage(`The policy cannot be used: ${error.message}`);
    if (error instanceof MalformedNote) throw wrongUsage(`The earlier note cannot be used: ${error.message}`);
    if (errorCode(error) !== undefined)
      throw wrongUsage(`${bundle} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    throw error;
  }
}
