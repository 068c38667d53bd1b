import type { Command } from 'commander';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, type ConnectionOptions } from './connection.js';
import { EXIT } from './exit-codes.js';
import { kekCommands } from './keys-kek.js';
import { signingCommands } from './keys-signing.js';
import { json, oneLine } from './layout.js';
import type { AuditLogs } from './audit-types.js';

type Options = ConnectionOptions & { readonly json?: true };

/** `fabula keys …`: public keys, and the names of others. */
export function keyCommands(program: Command, cli: Cli, ending: Ending): void {
  const group = program.command('keys').description("the keys that others need to verify, and those that readers' keys are wrapped under");
  noted(connecting(group.command('show').description("print the audit's verifier key").option('--json', 'for programs')), {
    details:
      "Role compliance. Hand it out by another way than the exports; `fabula audit verify --key` takes it. The private key never leaves the server's data directory.",
  }).action(action(ending, (options: Options) => show(cli, options)));
  kekCommands(group, cli, ending);
  signingCommands(group, cli, ending);
}

async function show(cli: Cli, options: Options): Promise<number> {
  const { verifierKey, logId }: AuditLogs = await (await connect(cli, options)).get('/audit/logs');
  cli.terminal.out(options.json ? json({ verifierKey, logId }) : `${oneLine(verifierKey)}\n`);
  return EXIT.ok;
}
