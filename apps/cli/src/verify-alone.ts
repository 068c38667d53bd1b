import { parseArgs } from 'node:util';
import { verify } from './audit-verify.js';
import { CliFailure, EXIT, verifyExits } from './exit-codes.js';
import { wrapped } from './layout.js';
import { processTerminal } from './terminal.js';

/*
 * `fabula audit verify` as a program of its own: the build makes one file of it, `verify.mjs`, that needs Node and nothing else, and every export
 * carries it.
 */
const USAGE = `node verify.mjs <export.tar> [options]

Verifies a Fabula audit export on its own bytes, without server, database or network.

  --key <vkey>       the key to trust, name+id+key, or a file that holds it or a trust policy
  --policy <file>    your own policy (C2SP tlog-policy): whose cosignatures count, and how many
  --previous <file>  signed note that you kept: the export must continue it (may stand several times)
  --terms            also derive the terms of trees that are shown whole anew
  --partial          accept that only a part of the log was ordered
  --whole            accept nothing but a whole log that is shown to be one
  --json             for programs
  --help             this text

Exit codes:
`;

const terminal = processTerminal(process.env);
const exits: readonly (readonly [number, string])[] = [
  [EXIT.ok, 'Genuine.'],
  [EXIT.usage, 'The file, key, policy or note cannot be read.'],
  ...verifyExits(),
];
const usage = (): string =>
  USAGE + exits.map(([code, meaning]) => `  ${String(code).padEnd(4)}${wrapped(meaning, terminal.columns, '      ')}\n`).join('');

function given(): ReturnType<typeof read> {
  try {
    return read();
  } catch (error) {
    throw new CliFailure(error instanceof Error ? error.message : String(error), EXIT.usage);
  }
}
function read() {
  return parseArgs({
    allowPositionals: true,
    options: {
      key: { type: 'string' },
      policy: { type: 'string' },
      previous: { type: 'string', multiple: true },
      terms: { type: 'boolean' },
      partial: { type: 'boolean' },
      whole: { type: 'boolean' },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
}

async function main(): Promise<number> {
  const { values, positionals } = given();
  const [bundle, ...more] = positionals;
  if (values.help === true) {
    terminal.out(usage());
    return EXIT.ok;
  }
  if (bundle === undefined || more.length > 0) throw new CliFailure(`Name one file to verify.\n\n${usage()}`, EXIT.usage);
  const { key, policy, previous, terms, partial, whole, json } = values;
  return verify({ terminal }, bundle, {
    ...(key === undefined ? {} : { key }),
    ...(policy === undefined ? {} : { policy }),
    ...(previous === undefined ? {} : { previous }),
    ...(terms === true ? { terms } : {}),
    ...(partial === true ? { partial } : {}),
    ...(whole === true ? { whole } : {}),
    ...(json === true ? { json } : {}),
  });
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    terminal.err(`${error instanceof CliFailure ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = error instanceof CliFailure ? error.exitCode : EXIT.problems;
  },
);
