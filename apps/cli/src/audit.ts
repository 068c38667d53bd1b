import type { Command } from 'commander';
import type { LogName } from '#lib/audit';
import { bigCount, logName, repeated, wholeNumber } from './arguments.js';
import { listAccesses, type AccessCommand } from './audit-access.js';
import { exportBundle, type ExportCommand } from './audit-export.js';
import { monitor, monitorExits, type MonitorCommand } from './audit-monitor.js';
import { checkpoint, prove, type ProveCommand } from './audit-prove.js';
import { rebuildStored, verifyStored } from './audit-store.js';
import { mirror, type TilesCommand } from './audit-tiles.js';
import { witness, type WitnessCommand } from './audit-witness.js';
import { verify, type VerifyCommand } from './audit-verify.js';
import { views, type ViewsCommand } from './audit-views.js';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connecting, type ConnectionOptions } from './connection.js';
import { EXIT, verifyExits, wrongUsage } from './exit-codes.js';

/** `fabula audit …`: verify works on a file alone, unless it is asked for a server's store. */
export function auditCommands(program: Command, cli: Cli, ending: Ending): void {
  const group = program.command('audit').description('exports, proofs, and verifying them offline');

  noted(
    connecting(
      group
        .command('verify')
        .description('verify an export on its own bytes, without server, database or network; or the store of a running server')
        .argument('[bundle]', 'the file that `fabula audit export` wrote')
        .option('--store', 'instead of a file: let the server check its whole store against its log and notes')
        .option('--key <vkey>', 'the key to trust, `name+id+key`, or a file that holds it or a trust policy')
        .option('--policy <file>', 'your own policy (C2SP tlog-policy): whose cosignatures count, and how many')
        .option('--previous <note>', 'file of a signed note that you kept: the export must continue it (may stand several times)', repeated)
        .option('--terms', 'also derive the terms of trees that are shown whole anew: what filtered exports rest on')
        .option('--partial', 'accept that only a part of the log was ordered')
        .option('--whole', 'accept nothing but a whole log that is shown to be one: refuses what older exports cannot show')
        .option('--json', 'for programs'),
    ),
    {
      details:
        "Without --key the keys of the logs in --policy count, and without these the bundle's own: that shows only that the bundle agrees with itself. Without --policy cosignatures are listed but not trusted. A partition that is missing, or leaves before or behind those that are there, are findings; --partial accepts a part that was ordered as one. With --store (role compliance) the server looks for tampering in every tree; --url and --token say which server, and leaving with Ctrl-C leaves it at work.",
      examples: ['fabula audit verify export.tar --key audit.vkey --previous last-month.note', 'fabula audit verify --store'],
      exits: [[EXIT.ok, 'Genuine.'], [EXIT.usage, 'The file, key, policy or note cannot be read.'], ...verifyExits()],
    },
  ).action(
    action(ending, (bundle: string | undefined, options: VerifyCommand & ConnectionOptions & { readonly store?: true }) => {
      if (options.store === true) {
        if (
          bundle !== undefined ||
          [options.key, options.policy, options.previous, options.terms, options.partial, options.whole].some(
            (given) => given !== undefined,
          )
        )
          throw wrongUsage('--store stands alone: the server checks against its own key, notes and log.');
        return verifyStored(cli, options);
      }
      if (bundle === undefined) throw wrongUsage('Name the file to verify, or say --store.');
      return verify(cli, bundle, options);
    }),
  );

  noted(
    group
      .command('views')
      .description('derive tables (CSV) and OCSF events from an export; they are not evidence')
      .argument('<bundle>', 'the file that `fabula audit export` wrote')
      .requiredOption('--out <dir>', 'where to write <tree>.csv and <tree>.ocsf.ndjson')
      .option('--key <vkey>', 'the key to trust, `name+id+key`, or a file that holds it or a trust policy')
      .option('--partial', 'accept that only a part of the log was ordered')
      .option('--json', 'for programs'),
    {
      details:
        'Works offline. The same export gives the same bytes, so anyone can derive the views again; of an export that does not verify nothing is written. OCSF: API Activity, class 6003. Cells that a spreadsheet would compute get an apostrophe before them.',
      examples: ['fabula audit views export.tar --out views --key audit.vkey'],
      exits: [[EXIT.usage, 'The file or key cannot be read.'], ...verifyExits()],
    },
  ).action(action(ending, (bundle: string, options: ViewsCommand) => views(cli, bundle, options)));

  noted(connecting(group.command('rebuild').description('build the audit trees anew from the log').option('--json', 'for programs')), {
    details:
      'Role operator. Commands go on meanwhile. Signed notes stay: a log that tells another story than was signed is refused. Leaving with Ctrl-C leaves the rebuild running.',
    exits: [[EXIT.problems, 'The rebuild failed, or other work on the store is under way.']],
  }).action(action(ending, (options: ConnectionOptions & { readonly json?: true }) => rebuildStored(cli, options)));

  noted(
    connecting(
      group
        .command('export')
        .description('order an export, wait for it and download it')
        .option('--out <file>', 'where to write it; must not exist')
        .option('--partition <n>', 'one partition only', wholeNumber(0, 4_095))
        .option('--from <index>', 'with --partition: first leaf', bigCount)
        .option('--to <index>', 'with --partition: leaf to stop before (default: the newest signed)', bigCount)
        .option('--playthrough <id>', 'show only the leaves of that playthrough, of the others their hashes')
        .option('--actor <pseudonym>', 'only of that actor')
        .option('--story <id>', 'only of that story')
        .option('--correlation <id>', 'only of that correlation id')
        .option('--after <time>', 'only from that time of the log on, ISO 8601')
        .option('--before <time>', 'only before that time of the log, ISO 8601')
        .option('--bodies', 'take the records along that the leaves are about')
        .option('--since <export>', 'id of an earlier export: prove that its notes are continued')
        .option('--resume <export>', 'go on with an export that was ordered before: wait for it, and download what is missing of the file')
        .option('--cancel <export>', 'stop one that was ordered, or remove the file of a finished one from the server; stands alone')
        .option('--json', 'for programs'),
    ),
    {
      details:
        'Role compliance. Without --partition everything that is signed is exported. Narrowed down, an export still proves that nothing was left out: `fabula audit verify` names a leaf that is. A download that breaks goes on by itself; one that was given up lies beside the file as .part, for --resume.',
      examples: ['fabula audit export --out export.tar', 'fabula audit export --actor reader-7f3a --out reader.tar'],
    },
  ).action(action(ending, (options: ExportCommand & ConnectionOptions) => exportBundle(cli, options)));

  noted(
    connecting(
      group
        .command('prove')
        .description('prove that a record is in a signed tree, step by step')
        .requiredOption('--log <log>', 'p0, p1, …, root or access', logName)
        .requiredOption('--index <n>', 'the leaf', bigCount)
        .option('--key <vkey>', 'the key to trust, or a file with it or a trust policy (default: what the server names)')
        .option('--out <file>', 'keep the proof as a C2SP `.tlog-proof` file, and the leaf beside it')
        .option('--json', 'for programs'),
    ),
    {
      details: 'Role compliance. Leaf, proof and signed note are fetched; all hashing and the signature are checked here.',
      exits: [[EXIT.problems, 'The proof does not hold, or the note is not signed by the key.']],
    },
  ).action(action(ending, (options: ProveCommand & ConnectionOptions) => prove(cli, options)));

  noted(
    connecting(
      group
        .command('tiles')
        .description('keep a directory up to the signed trees, as tiles that any web server can serve')
        .requiredOption('--out <dir>', 'where each tree has its folder; only what is new is fetched')
        .option('--log <log>', 'only p0, p1, …, root or access', logName)
        .option('--key <vkey>', 'the key to trust, or a file with it or a trust policy (default: what the server names)')
        .option('--json', 'for programs'),
    ),
    {
      details:
        'Role compliance. C2SP tlog-tiles: `checkpoint`, `tile/…` and `tile/entries/…` for each tree. Every entry is hashed; another history than the one that lies there, or a smaller tree, is refused and changes nothing.',
      examples: ['fabula audit tiles --out mirror --key audit.vkey'],
      exits: [[EXIT.problems, 'The log was not taken: it contradicts its signature, or what lies there.']],
    },
  ).action(action(ending, (options: TilesCommand & ConnectionOptions) => mirror(cli, options)));

  noted(
    connecting(
      group
        .command('monitor')
        .description('watch a server from outside: notes, entries, offsets and counts, each held to the others and to what was seen before')
        .requiredOption('--vkey <vkey>', 'the key to trust, or a file with it or a trust policy: from whoever signs, not from the server')
        .requiredOption('--state <dir>', 'where it remembers what it saw; never lose it')
        .option('--interval <seconds>', 'between two rounds', wholeNumber(1, 86_400), 60)
        .option(
          '--stale <seconds>',
          'silence that is an alarm: twice what the server publishes idle notes again at',
          wholeNumber(1, 31_536_000),
          1_200,
        )
        .option('--once', 'one round, for cron: the exit code is the worst alarm')
        .option('--from-start', 'in the first round, derive every root from the first leaf on')
        .option('--metrics-file <file>', 'write figures for the textfile collector of Prometheus')
        .option('--json', 'one line of JSON per round'),
    ),
    {
      details:
        'Role compliance. Best on a machine of another owner. It reads only what is new. Without --once it runs until Ctrl-C. docs/how-to/watch-the-audit.md says what to do about each alarm.',
      examples: ['fabula audit monitor --vkey audit.vkey --state watch --once --json'],
      exits: [[EXIT.ok, 'No alarm.'], [EXIT.usage, 'The key or the state cannot be read.'], ...monitorExits()],
    },
  ).action(action(ending, (options: MonitorCommand & ConnectionOptions) => monitor(cli, options)));

  noted(
    group
      .command('witness')
      .description("cosign other servers' signed trees as long as each continues the one before")
      .requiredOption('--dir <dir>', 'where its key and what it cosigned lie; never lose it, never copy it')
      .option('--listen <address:port>', 'where it serves; port 0 takes a free one', '127.0.0.1:8099')
      .option('--name <name>', 'its name in signatures: a domain or path that is yours (default: from the folder)')
      .option('--log <vkey and origin>', 'a log: "<vkey> <origin>"; again for another one, or for the next key of the same one', repeated)
      .option('--policy <file>', 'logs from the `log` lines of a C2SP tlog-policy, whose origins are the names of their keys'),
    {
      details:
        'A process of its own, needing neither a database nor a server, best on a machine of another owner. C2SP tlog-witness: `POST /add-checkpoint`. It runs until Ctrl-C. docs/how-to/witness.md says how to set it up.',
      examples: ['fabula audit witness --dir w --log "$(cat log.vkey) fabula.local/0f3a/root"'],
      exits: [[EXIT.problems, 'What it cosigned before was changed.']],
    },
  ).action(action(ending, (options: WitnessCommand) => witness(cli, options)));

  noted(
    connecting(
      group
        .command('access')
        .description('list who looked at what, newest first')
        .option('--actor <pseudonym>', 'what one person did')
        .option('--event <event>', 'one kind, as sensitive_export or authz_fail')
        .option('--outcome <outcome>', '`ok`, or the code of an error')
        .option('--playthrough <id>', 'who looked at a playthrough')
        .option('--story <id>', 'who looked at a story')
        .option('--correlation-id <id>', 'one request')
        .option('--export <export>', 'what became of an export: its id, or the file, and whether it is the one that was handed over')
        .option('--from <instant>', 'from then on, as 2026-01-31T00:00:00Z')
        .option('--to <instant>', 'up to then')
        .option('--limit <n>', 'how many at most', wholeNumber(1, 100_000), 100)
        .option('--json', 'for programs'),
    ),
    {
      details:
        'Role compliance. What readers do with their own is counted per minute. docs/reference/access-log.md says what an entry means.',
      examples: ['fabula audit access --export export.tar', 'fabula audit access --playthrough 4f1c… --json'],
      exits: [[EXIT.problems, 'The file that --export names is not one that was handed over, by what the access log says.']],
    },
  ).action(action(ending, (options: AccessCommand & ConnectionOptions) => listAccesses(cli, options)));

  noted(
    connecting(
      group
        .command('checkpoint')
        .description('print the newest signed note of a tree, or list all trees')
        .argument('[log]', 'p0, p1, …, root or access', logName)
        .option('--json', 'for programs'),
    ),
    {
      details: 'Role compliance. Keep the note of `root`: a later export must continue it.',
      examples: ['fabula audit checkpoint root > kept.note'],
    },
  ).action(
    action(ending, (log: LogName | undefined, options: ConnectionOptions & { readonly json?: true }) => checkpoint(cli, log, options)),
  );
}
