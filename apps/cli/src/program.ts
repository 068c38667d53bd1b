import { Command, CommanderError } from 'commander';
import { auditCommands } from './audit.js';
import { exitLines, type Cli, type Ending } from './cli.js';
import { CliFailure, EXIT, EXIT_MEANINGS } from './exit-codes.js';
import { feedCommands } from './feed.js';
import { complianceCommands } from './compliance.js';
import { retentionCommands } from './compliance-retention.js';
import { keyCommands } from './keys.js';
import { logCommands } from './log.js';
import { oneLine, painter } from './layout.js';
import { playthroughCommands } from './playthrough.js';
import { projectionCommands } from './projection.js';
import { referenceOf } from './reference.js';
import { storyCommands } from './story.js';
import { tokenCommand } from './token.js';

/** Every command, ready to parse. */
function assembled(cli: Cli, ending: Ending): Command {
  const { terminal } = cli;
  const program = new Command('fabula')
    .description('Check, play and publish stories; look after a Fabula server; verify what it says.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.err(text),
      getOutHelpWidth: () => terminal.columns,
      getErrHelpWidth: () => terminal.columns,
    })
    .helpCommand(false)
    .showHelpAfterError('(--help tells more)');
  program.addHelpText(
    'after',
    `\nExit codes:\n${exitLines(EXIT_MEANINGS)}\n\nEnvironment:\n  FABULA_URL, FABULA_TOKEN, FABULA_DATA_DIR (./.fabula), NO_COLOR`,
  );
  for (const add of [
    storyCommands,
    playthroughCommands,
    projectionCommands,
    logCommands,
    feedCommands,
    auditCommands,
    complianceCommands,
    retentionCommands,
    keyCommands,
    tokenCommand,
  ])
    add(program, cli, ending);
  return program;
}

/**
 * Runs one command line (without node and the program's own name) and answers its exit code. Never ends the process, never throws for what
 * a person or a server did wrong.
 */
export async function run(argv: readonly string[], cli: Cli): Promise<number> {
  const ending: Ending = { exitCode: EXIT.ok };
  try {
    await assembled(cli, ending).parseAsync([...argv], { from: 'user' });
    return ending.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (!(error instanceof CliFailure)) throw error;
    const paint = painter({ coloured: cli.terminal.bars !== undefined && cli.terminal.coloured });
    cli.terminal.err(`${paint('red', 'fabula:')} ${error.message}\n${error.more.map((line) => `  ${oneLine(line)}\n`).join('')}`);
    return error.exitCode;
  } finally {
    cli.terminal.close();
  }
}

/** docs/reference/command-line.md */
export function commandLineReference(): string {
  const nowhere = (): never => {
    throw new Error('the reference runs no command');
  };
  const terminal = {
    out: nowhere,
    pour: nowhere,
    err: nowhere,
    columns: 80,
    coloured: false,
    bars: undefined,
    ask: nowhere,
    close: nowhere,
  };
  return referenceOf(assembled({ terminal, env: {}, fetch: nowhere, now: nowhere, sleep: nowhere, randomHex: nowhere }, { exitCode: 0 }));
}
