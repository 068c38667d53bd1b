import path from 'node:path';
import type { Command } from 'commander';
import { KeyRefused, makeNextKey, nextKeyFile, parseTrust, SigningKeyUnusable } from '#lib/audit';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, dataDirOf, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import { json, oneLine, table } from './layout.js';
import type { AuditLogs } from './audit-types.js';

type Shown = ConnectionOptions & { readonly json?: true };
type Rotated = Shown & { readonly to: string; readonly reason: string };

/** `fabula keys signing …`: the keys that sign the audit's notes. */
export function signingCommands(keys: Command, cli: Cli, ending: Ending): void {
  const group = keys.command('signing').description("the keys that sign the audit's notes");
  noted(
    connecting(group.command('show').description('list them, and print the trust policy for `--key`').option('--json', 'for programs')),
    {
      details:
        'Role compliance. A key that was replaced counts only for trees up to the sizes named. Hand the policy out by another way than the exports.',
    },
  ).action(action(ending, (options: Shown) => show(cli, options)));
  noted(
    group
      .command('make')
      .description('make the key that is to follow, beside the current one')
      .option('--dir <folder>', 'data directory of a server that signs (default: FABULA_DATA_DIR or ./.fabula)'),
    {
      details:
        'Asks no server. Copy the file, readable by its owner alone, into the data directory of every server that signs, then propose the rotation with the key that is printed.',
      examples: ['fabula keys signing make --dir /var/lib/fabula'],
    },
  ).action(action(ending, (options: { readonly dir?: string }) => make(cli, options.dir ?? dataDirOf(cli))));
  noted(
    connecting(
      group
        .command('rotate')
        .description('propose that another key signs from now on')
        .requiredOption('--to <vkey>', 'the new key, as `fabula keys signing make` printed it')
        .requiredOption('--reason <words>', 'why; no personal data')
        .option('--json', 'for programs'),
    ),
    {
      details:
        'Role admin; another person (admin or dpo) approves it. Both keys sign for seven days. The old key counts for trees up to the sizes that were signed when the new one took over, whatever it signs after that.',
    },
  ).action(action(ending, (options: Rotated) => rotate(cli, options)));
}

async function show(cli: Cli, options: Shown): Promise<number> {
  const { verifierKey, trust = verifierKey, logId }: AuditLogs = await (await connect(cli, options)).get('/audit/logs');
  const keys = parseTrust(trust);
  const { terminal } = cli;
  if (options.json) {
    const listed = keys.map(({ verifier, until }) => ({
      vkey: verifier.vkey,
      until: until === undefined ? null : Object.fromEntries([...until].map(([tree, size]) => [tree, String(size)])),
    }));
    terminal.out(json({ logId, keys: listed, trust }));
    return EXIT.ok;
  }
  terminal.err(
    table(terminal, keys, [
      { title: 'key', cell: ({ verifier }) => verifier.keyId.toString(16).padStart(8, '0') },
      { title: 'signs', cell: ({ until }) => (until === undefined ? 'now' : 'no more') },
      {
        title: 'counts up to',
        cell: ({ until }) => (until === undefined ? 'any size' : [...until].map(([tree, size]) => `${tree} ${size}`).join(', ')),
        flexible: true,
      },
    ]),
  );
  // On its own on the answer's stream, so that it can be put into a file.
  await terminal.pour(Buffer.from(trust.endsWith('\n') ? trust : `${trust}\n`, 'utf8'));
  return EXIT.ok;
}

async function make(cli: Cli, dir: string): Promise<number> {
  const file = path.join(path.resolve(dir), 'audit-signing.key');
  try {
    const { verifier } = await makeNextKey(file);
    cli.terminal.err(`made ${nextKeyFile(file)}\n`);
    cli.terminal.out(`${verifier.vkey}\n`);
    return EXIT.ok;
  } catch (error) {
    if (error instanceof KeyRefused || error instanceof SigningKeyUnusable) throw new CliFailure(oneLine(error.message));
    throw error;
  }
}

async function rotate(cli: Cli, options: Rotated): Promise<number> {
  try {
    parseTrust(options.to);
  } catch (error) {
    throw wrongUsage(`The key cannot be used: ${error instanceof Error ? error.message : String(error)}`);
  }
  const proposal = { action: { kind: 'rotate-signing-key', newVkey: options.to }, reason: options.reason };
  const http = await connect(cli, options);
  const { value: done } = await http.post<{ id: string }>('/admin/compliance/actions', { body: JSON.stringify(proposal) });
  cli.terminal.out(
    options.json ? json(done) : `Proposed as ${oneLine(done.id)}: ${oneLine(options.to)} signs next. Another person must approve it.\n`,
  );
  return EXIT.ok;
}
