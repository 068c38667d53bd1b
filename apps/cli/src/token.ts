import { InvalidArgumentError, Option, type Command } from 'commander';
import { USER_ROLES, type UserRole } from '#lib/platform';
import { seconds } from './arguments.js';
import { action, noted, type Cli, type Ending } from './cli.js';
import { dataDirOf, developmentIssuer, hasIssuer } from './connection.js';
import { EXIT } from './exit-codes.js';
import { json } from './layout.js';

interface Options {
  readonly role: readonly UserRole[];
  readonly sub: string;
  readonly ttl: number;
  readonly json?: true;
}

/** `fabula token`: for one's own machine only. */
export function tokenCommand(program: Command, cli: Cli, ending: Ending): void {
  noted(
    program
      .command('token')
      .description('make a token for a local development server')
      .requiredOption('--role <roles>', `separated by commas: ${USER_ROLES.join(', ')}`, roles)
      .option('--sub <name>', 'whose token it is', subject, 'developer')
      .addOption(new Option('--ttl <duration>', 'how long it is good for, like 15m, 12h, 1d').argParser(seconds).default(86_400, '1d'))
      .option('--json', 'for programs'),
    {
      details: 'Signs with the development issuer of the data directory (FABULA_DATA_DIR); refused when NODE_ENV=production.',
      examples: ['fabula token --role reader --sub ada', 'export FABULA_TOKEN=$(fabula token --role author,operator,compliance)'],
    },
  ).action(action(ending, (options: Options) => mint(cli, options)));
}

function roles(text: string): readonly UserRole[] {
  const names = [...new Set(text.split(',').map((name) => name.trim()))];
  const known = (name: string): name is UserRole => (USER_ROLES as readonly string[]).includes(name);
  const wrong = names.find((name) => !known(name));
  if (wrong !== undefined)
    throw new InvalidArgumentError(`${wrong === '' ? 'An empty name' : wrong} is no role; there are ${USER_ROLES.join(', ')}.`);
  return names.filter(known);
}

function subject(text: string): string {
  if (text === '' || text.length > 200 || !text.isWellFormed() || /\p{Cc}/u.test(text))
    throw new InvalidArgumentError('A name of 1 to 200 plain characters is needed.');
  return text;
}

async function mint(cli: Cli, { role, sub, ttl, json: asJson }: Options): Promise<number> {
  const { terminal } = cli;
  const known = await hasIssuer(cli);
  const token = await (await developmentIssuer(cli)).mintToken({ sub, roles: role, ttlSeconds: ttl });
  if (!known) terminal.err(`Made a development key in ${dataDirOf(cli)}: servers on this data directory take the token, others do not.\n`);
  terminal.out(asJson ? json({ token, sub, roles: role, expiresAt: new Date(cli.now() + ttl * 1_000).toISOString() }) : `${token}\n`);
  return EXIT.ok;
}
