import type { Command } from 'commander';
import { notesOf } from './cli.js';
import { EXIT_MEANINGS } from './exit-codes.js';

/** The command line as Markdown, made from the very commands that run. */
export function referenceOf(program: Command): string {
  const leaves = leavesOf(program, []);
  return `# Command line

Generated from the commands (\`npm run generate\`). In a clone, \`npx fabula …\` installs and builds what is missing first.

${program.description()}

Commands that talk to a server find it by \`--url\`, \`FABULA_URL\`, or the address that a running server writes to \`server.json\` in its data
directory (\`FABULA_DATA_DIR\`, default \`./.fabula\`). They say who you are with \`--token\` or \`FABULA_TOKEN\`; for a development server on this
machine a token is made from its data directory. Reading commands take \`--json\`. Progress goes to the error stream, as bars on a terminal
and as lines elsewhere; colours are left out where nobody is looking and when \`NO_COLOR\` is set.

## Exit codes

${exitTable(EXIT_MEANINGS)}

\`fabula audit verify\` has codes of its own for each kind of tampering, listed there.

${leaves.map(({ path, command }) => section(path, command)).join('\n\n')}
`;
}

interface Leaf {
  readonly path: readonly string[];
  readonly command: Command;
}

function leavesOf(command: Command, before: readonly string[]): readonly Leaf[] {
  const path = [...before, command.name()];
  return command.commands.length === 0 ? [{ path, command }] : command.commands.flatMap((child) => leavesOf(child, path));
}

function section(path: readonly string[], command: Command): string {
  const { details, examples = [], exits = [] } = notesOf(command);
  const name = path.join(' ');
  const description = command.description();
  const parts = [
    `## ${name}`,
    `\`\`\`text\n${name} ${command.usage()}\n\`\`\``,
    `${description.charAt(0).toUpperCase()}${description.slice(1)}.${details === undefined ? '' : ` ${details}`}`,
  ];
  const rows = [
    ...command.registeredArguments.map(
      (argument) => [`\`${argument.required ? `<${argument.name()}>` : `[${argument.name()}]`}\``, argument.description] as const,
    ),
    ...command.options.map(
      (option) =>
        [
          `\`${option.flags}\``,
          `${option.description}${option.mandatory ? ' (needed)' : ''}${defaultOf(option.defaultValueDescription ?? option.defaultValue)}${choicesOf(option.argChoices)}`,
        ] as const,
    ),
  ];
  if (rows.length > 0)
    parts.push(
      ['| argument or option | meaning |', '|---|---|', ...rows.map(([flags, meaning]) => `| ${cell(flags)} | ${cell(meaning)} |`)].join(
        '\n',
      ),
    );
  if (examples.length > 0) parts.push(`\`\`\`sh\n${examples.join('\n')}\n\`\`\``);
  if (exits.length > 0) parts.push(exitTable(exits));
  return parts.join('\n\n');
}

const cell = (text: string): string => text.replaceAll('|', '\\|');
const defaultOf = (value: unknown): string => (value === undefined || Array.isArray(value) ? '' : `; default \`${String(value)}\``);
const choicesOf = (choices: readonly string[] | undefined): string =>
  choices === undefined ? '' : `: ${choices.map((choice) => `\`${choice}\``).join(', ')}`;
const exitTable = (exits: readonly (readonly [code: number, meaning: string])[]): string =>
  ['| exit code | meaning |', '|---|---|', ...exits.map(([code, meaning]) => `| ${code} | ${cell(meaning)} |`)].join('\n');
