import path from 'node:path';
import type { Command } from 'commander';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT } from './exit-codes.js';
import { json, oneLine, table, type Column } from './layout.js';

interface Kek {
  readonly id: string;
  readonly state: string;
  readonly keys: number;
  readonly here: boolean;
  readonly createdAt: string;
  readonly destroyedAt: string | null;
}

type Shown = ConnectionOptions & { readonly json?: true };
type Rotated = Shown & { readonly to: string; readonly reason: string };

/** `fabula keys kek …`: the key-encryption keys, which never leave their folder. */
export function kekCommands(keys: Command, cli: Cli, ending: Ending): void {
  const group = keys.command('kek').description("the keys that readers' keys are wrapped under");
  noted(connecting(group.command('show').description('list them, with how many keys lie under each').option('--json', 'for programs')), {
    details:
      'Role admin or dpo. `here`: whether the server that answers has the file. While a rotation goes on, the keys under the retiring one become fewer.',
  }).action(action(ending, (options: Shown) => show(cli, options)));
  noted(
    group
      .command('make')
      .argument('<name>', 'lower-case letters, digits and dashes')
      .description('make a key-encryption key in a folder of this machine, for servers that do not share one')
      .requiredOption('--dir <folder>', 'where to; a key of that name that is there already stays as it is'),
    {
      details:
        'Asks no server. Lay the file, readable by its owner alone, into FABULA_KEK_DIR of every server before a rotation to it is proposed.',
    },
  ).action(action(ending, (name: string, options: { readonly dir: string }) => make(cli, name, options)));
  noted(
    connecting(
      group
        .command('rotate')
        .description('propose to wrap every key anew under another key-encryption key, and to destroy the old one')
        .requiredOption('--to <name>', 'name of the new key: lower-case letters, digits and dashes; it is made when it is not there')
        .requiredOption('--reason <words>', 'why; no personal data')
        .option('--json', 'for programs'),
    ),
    {
      details:
        'Role admin; another person (admin or dpo) approves it. Readers notice nothing. Where servers do not share one folder, bring the new file to each of them before, under that name.',
    },
  ).action(action(ending, (options: Rotated) => rotate(cli, options)));
}

async function keksOf(cli: Cli, options: ConnectionOptions): Promise<readonly Kek[]> {
  return (await (await connect(cli, options)).get<{ keks: readonly Kek[] }>('/admin/compliance/keks')).keks;
}

async function make(cli: Cli, name: string, { dir }: { readonly dir: string }): Promise<number> {
  // Loaded when it is needed: with it comes the database's driver.
  const { FileKeyEncryption, KEK_ID } = await import('#lib/privacy');
  if (!KEK_ID.test(name)) throw new CliFailure('the name of a key has lower-case letters, digits and dashes, at most 63', EXIT.usage);
  const keys = new FileKeyEncryption(path.resolve(dir));
  await keys.create(name);
  cli.terminal.out(`${path.join(keys.place, `${name}.kek`)}\n`);
  return EXIT.ok;
}

async function show(cli: Cli, options: Shown): Promise<number> {
  const keks = await keksOf(cli, options);
  if (options.json) cli.terminal.out(json({ keks }));
  else {
    const columns: readonly Column<Kek>[] = [
      { title: 'key', cell: ({ id }) => id },
      { title: 'state', cell: ({ state }) => state },
      { title: 'keys under it', cell: ({ keys }) => keys },
      { title: 'here', cell: ({ here }) => (here ? 'yes' : 'no') },
      { title: 'made', cell: ({ createdAt }) => createdAt },
    ];
    cli.terminal.out(table(cli.terminal, keks, columns));
  }
  return EXIT.ok;
}

async function rotate(cli: Cli, options: Rotated): Promise<number> {
  const current = (await keksOf(cli, options)).find(({ state }) => state === 'current');
  if (current === undefined) throw new Error('the server names no current key-encryption key');
  const proposal = { action: { kind: 'rotate-kek', from: current.id, to: options.to }, reason: options.reason };
  const { value: done } = await (
    await connect(cli, options)
  ).post<{ id: string }>('/admin/compliance/actions', {
    body: JSON.stringify(proposal),
    contentType: 'application/json',
  });
  cli.terminal.out(
    options.json
      ? json(done)
      : `Proposed as ${oneLine(done.id)}: from ${oneLine(current.id)} to ${oneLine(options.to)}. Another person must approve it.\n`,
  );
  return EXIT.ok;
}
