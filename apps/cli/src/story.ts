import type { Command } from 'commander';
import { compileStory, graphOf, StoryNotPlayable, toDot, toMermaid, type CompiledStory, type Problem } from '#lib/story';
import { lintSource, type ImportResult } from '#lib/story-formats';
import { contentHash, wholeNumber } from './arguments.js';
import { autoPlay, type AutoPlay } from './auto-play.js';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import { ServerRefused } from './http-client.js';
import { counted, json, oneLine, painter, table, wrapped } from './layout.js';
import { notImportedText, problemsText, severities, summary } from './lint-report.js';
import { playInTerminal } from './play-screen.js';
import { progress, things } from './progress.js';
import { diffStories, isSame, type SetDiff, type StoryDiff } from './story-diff.js';
import { formatOption, readSource, storyOf, type FormatOption } from './story-file.js';

interface Json {
  readonly json?: true;
}

/** `fabula story …`: everything but import and publish works on files alone. */
export function storyCommands(program: Command, cli: Cli, ending: Ending): void {
  const story = program.command('story').description('check, play and publish stories');
  const onFile = (name: string, what: string): Command =>
    formatOption(story.command(name).description(what).argument('<file>', 'the story: JSON, YAML or Twee'));

  noted(onFile('lint', 'find what is wrong with a story').option('--json', 'for programs'), {
    details: 'Needs no server. What of a Twee file was not taken over is listed with its line and the reason.',
    examples: ['fabula story lint stories/the-cloakroom.twee', 'fabula story lint draft.yaml --json'],
    exits: [[EXIT.problems, 'The story has errors (warnings alone end with 0).']],
  }).action(action(ending, (file: string, options: FormatOption & Json) => lint(cli, file, options)));

  onFile('hash', 'print the content hash, by which a version is known')
    .option('--json', 'for programs')
    .action(action(ending, (file: string, options: FormatOption & Json) => hash(cli, file, options)));

  noted(
    onFile('graph', 'print passages and endings as nodes, choices as edges')
      .option('--dot', 'as Graphviz text (default)')
      .option('--mermaid', 'as Mermaid text')
      .option('--json', 'for programs'),
    { examples: ['fabula story graph my.twee --dot | dot -Tsvg > my.svg'] },
  ).action(action(ending, (file: string, options: FormatOption & GraphOptions) => graph(cli, file, options)));

  noted(
    onFile('play', 'play a story in the terminal, or at random')
      .option('--seed <words>', 'what all draws derive from (default: a new one each time)')
      .option('--auto <seed>', 'play at random instead, repeatably, and tell how it went')
      .option('--turns <n>', 'with --auto: turns of a run at most', wholeNumber(1, 1_000_000), 200)
      .option('--runs <n>', 'with --auto: how many runs', wholeNumber(1, 100_000), 1)
      .option('--json', 'with --auto: for programs'),
    {
      details:
        'Decides with the same functions as the server. A number chooses, u goes back (draws are made anew), s shows variables, q quits.',
      examples: ['fabula story play stories/the-cloakroom.twee', 'fabula story play my.twee --auto 7 --turns 100 --runs 500'],
      exits: [[EXIT.problems, 'The story got stuck, or refused a choice.']],
    },
  ).action(action(ending, (file: string, options: FormatOption & PlayOptions) => play(cli, file, options)));

  noted(
    formatOption(
      story
        .command('diff')
        .description('say what differs between two versions')
        .argument('<a>', 'the story before')
        .argument('<b>', 'the story after'),
    )
      .option('--exit-code', 'end with 1 when they differ')
      .option('--json', 'for programs'),
    { details: 'Compares passages, choices, variables and endings by their ids, whatever the formats are.' },
  ).action(action(ending, (a: string, b: string, options: FormatOption & DiffOptions) => diff(cli, a, b, options)));

  noted(
    connecting(
      onFile('import', 'bring a story to the server, as a draft')
        .option('--id <id>', "takes the place of the source's own id")
        .option('--json', 'for programs'),
    ),
    {
      details: 'Role author. The same content again is the same version.',
      exits: [[EXIT.problems, 'Nothing could be read, or the draft has lint errors: it is kept, but cannot be published.']],
    },
  ).action(
    action(ending, (file: string, options: FormatOption & ConnectionOptions & Json & { readonly id?: string }) =>
      importFile(cli, file, options),
    ),
  );

  noted(
    connecting(
      story
        .command('publish')
        .description('make a version what new playthroughs start on')
        .argument('<id>', 'the story')
        .argument('<hash>', 'the version', contentHash)
        .option('--json', 'for programs'),
    ),
    {
      details: 'Role author. Playthroughs under way stay on their version.',
      exits: [[EXIT.problems, 'The version has lint errors, or is not there.']],
    },
  ).action(action(ending, (id: string, version: string, options: ConnectionOptions & Json) => publish(cli, id, version, options)));
}

async function lint(cli: Cli, file: string, options: FormatOption & Json): Promise<number> {
  const { terminal } = cli;
  const source = await readSource(file, options);
  const { result, problems } = lintSource(source.format, source.source);
  const { story, hash: found, notImported, warnings, translated } = result;
  const count = severities(problems);
  const exitCode = story === undefined || count.error > 0 ? EXIT.problems : EXIT.ok;
  if (options.json) {
    terminal.out(
      json({
        file,
        format: source.format,
        hash: found ?? null,
        storyId: story?.id ?? null,
        ok: exitCode === EXIT.ok,
        errors: count.error,
        warnings: count.warning,
        problems,
        notImported,
        importWarnings: warnings,
        translated,
      }),
    );
    return exitCode;
  }
  const paint = painter(terminal);
  terminal.out(
    `${paint('bold', oneLine(file))}${story === undefined ? '' : `  ${oneLine(story.title)}, ${counted(translated.passages, 'passage')}`}\n`,
  );
  if (problems.length > 0) terminal.out(`\n${problemsText(terminal, problems)}`);
  if (warnings.length > 0) {
    terminal.out(`\n${paint('bold', 'From reading the file')}\n`);
    for (const { line, code, message } of warnings)
      terminal.out(`  ${line}  ${paint('yellow', code)}  ${wrapped(oneLine(message), terminal.columns, '      ')}\n`);
  }
  if (notImported.length > 0)
    terminal.out(`\n${paint('bold', `Not taken over (${notImported.length})`)}\n${notImportedText(terminal, notImported)}`);
  const tone = count.error > 0 ? 'red' : count.warning > 0 ? 'yellow' : 'green';
  terminal.out(
    `\n${paint(tone, exitCode === EXIT.ok ? '✓' : '✗')} ${summary(problems)}${notImported.length === 0 ? '' : `, ${notImported.length} not taken over`}\n`,
  );
  return exitCode;
}

async function hash(cli: Cli, file: string, options: FormatOption & Json): Promise<number> {
  const found = storyOf(await readSource(file, options));
  cli.terminal.out(options.json ? json({ file, storyId: found.story.id, hash: found.hash }) : `${found.hash}\n`);
  return EXIT.ok;
}

interface GraphOptions extends Json {
  readonly dot?: true;
  readonly mermaid?: true;
}

async function graph(cli: Cli, file: string, options: FormatOption & GraphOptions): Promise<number> {
  if ([options.dot, options.mermaid, options.json].filter(Boolean).length > 1)
    throw wrongUsage('One of --dot, --mermaid and --json at a time.');
  const found = graphOf(storyOf(await readSource(file, options)).story);
  cli.terminal.out(options.json ? json(found) : options.mermaid ? toMermaid(found) : toDot(found));
  return EXIT.ok;
}

interface PlayOptions extends Json {
  readonly seed?: string;
  readonly auto?: string;
  readonly turns: number;
  readonly runs: number;
}

async function play(cli: Cli, file: string, options: FormatOption & PlayOptions): Promise<number> {
  const story = playable(file, storyOf(await readSource(file, options)).story);
  const { auto, seed, turns, runs } = options;
  if (auto === undefined) {
    if (options.json) throw wrongUsage('--json goes with --auto.');
    return playInTerminal(cli, story, seed ?? cli.randomHex(4));
  }
  if (seed !== undefined) throw wrongUsage('--auto has its own seed: leave --seed out.');
  if (auto === '') throw wrongUsage('The seed is empty.');
  const bar = runs >= 100 && !options.json ? progress(cli, 'playing', things('run')) : undefined;
  let result: AutoPlay;
  try {
    result = autoPlay(story, auto, { turns, runs, onRun: (done) => done % 16 === 0 && bar?.update(done, runs) });
    bar?.update(runs, runs);
  } finally {
    bar?.stop();
  }
  const wrong = result.runs.some(({ outcome }) => outcome === 'stuck' || outcome === 'fault');
  if (options.json) cli.terminal.out(json({ file, hash: story.hash, seed: auto, maximum: turns, ok: !wrong, ...result }));
  else autoText(cli, story, result);
  return wrong ? EXIT.problems : EXIT.ok;
}

function playable(file: string, story: Parameters<typeof compileStory>[0]): CompiledStory {
  try {
    return compileStory(story);
  } catch (error) {
    if (!(error instanceof StoryNotPlayable)) throw error;
    const errors = error.problems.filter(({ severity }) => severity === 'error').slice(0, 5);
    throw new CliFailure(`${file} has errors and cannot be played.`, EXIT.problems, [
      ...errors.map(({ code, message }) => oneLine(`${code}  ${message}`)),
      `\`fabula story lint ${file}\` tells all of them.`,
    ]);
  }
}

const OUTCOMES = {
  ended: 'reached an ending',
  'turns-used': 'used all turns',
  stuck: 'got stuck',
  fault: 'was refused by the story',
} as const;

function autoText({ terminal }: Cli, story: CompiledStory, result: AutoPlay): void {
  const paint = painter(terminal);
  const { runs, turns, endings, passages, visited, neverVisited } = result;
  terminal.out(
    `${paint('bold', oneLine(story.story.title))}: ${counted(runs.length, 'run')}, ${counted(turns, 'turn')}, ${visited} of ${counted(passages, 'passage')} visited\n`,
  );
  const [only] = runs;
  if (runs.length === 1 && only !== undefined) {
    terminal.out(
      `  ${OUTCOMES[only.outcome]} after ${counted(only.turns, 'turn')}, at ${oneLine(only.passage)}${only.ending === null ? '' : ` (${oneLine(only.ending)})`}\n`,
    );
    if (only.stateHash !== null) terminal.out(paint('dim', `  state ${only.stateHash}\n`));
  } else {
    for (const [outcome, words] of Object.entries(OUTCOMES)) {
      const count = runs.filter((run) => run.outcome === outcome).length;
      if (count > 0) terminal.out(`  ${counted(count, 'run')} ${words}\n`);
    }
    terminal.out('\n');
    terminal.out(
      table(terminal, endings, [
        { title: 'ending', cell: ({ id }) => id },
        { title: 'title', cell: ({ title }) => title, flexible: true },
        { title: 'reached', cell: ({ reached }) => reached, tone: ({ reached }) => (reached === 0 ? 'yellow' : undefined) },
      ]),
    );
  }
  for (const run of runs.filter(({ outcome }) => outcome === 'stuck' || outcome === 'fault').slice(0, 10)) {
    terminal.out(
      paint(
        'red',
        wrapped(
          `  seed ${run.seed} ${OUTCOMES[run.outcome]} at ${run.passage}, turn ${run.turns}${run.fault === null ? '' : `: ${run.fault}`}`,
          terminal.columns,
          '    ',
        ),
      ) + '\n',
    );
  }
  if (runs.length > 1 && neverVisited.length > 0)
    terminal.out(
      paint(
        'yellow',
        wrapped(`Never visited: ${neverVisited.slice(0, 30).join(', ')}${neverVisited.length > 30 ? ', …' : ''}`, terminal.columns, '  '),
      ) + '\n',
    );
}

interface DiffOptions extends Json {
  readonly exitCode?: true;
}

async function diff(cli: Cli, a: string, b: string, options: FormatOption & DiffOptions): Promise<number> {
  const before = storyOf(await readSource(a, options));
  const after = storyOf(await readSource(b, options));
  const found = diffStories(before.story, after.story);
  const same = isSame(found);
  if (options.json)
    cli.terminal.out(json({ same, before: { file: a, hash: before.hash }, after: { file: b, hash: after.hash }, ...found }));
  else if (same) cli.terminal.out('No difference.\n');
  else diffText(cli, found);
  return options.exitCode && !same ? EXIT.problems : EXIT.ok;
}

function diffText({ terminal }: Cli, found: StoryDiff): void {
  const paint = painter(terminal);
  const value = (given: unknown): string => (typeof given === 'string' ? given : JSON.stringify(given));
  const fields = (changes: StoryDiff['story'], indent: string): void => {
    for (const { field, before, after } of changes) {
      terminal.out(`${indent}${paint('dim', field)}\n`);
      if (before !== undefined) terminal.out(`${indent}${paint('red', `- ${wrapped(value(before), terminal.columns, `${indent}  `)}`)}\n`);
      if (after !== undefined) terminal.out(`${indent}${paint('green', `+ ${wrapped(value(after), terminal.columns, `${indent}  `)}`)}\n`);
    }
  };
  const part = (name: string, { added, removed, changed }: SetDiff): void => {
    if (added.length + removed.length + changed.length === 0) return;
    terminal.out(`${paint('bold', name)}: ${added.length} added, ${removed.length} removed, ${changed.length} changed\n`);
    for (const id of removed) terminal.out(`  ${paint('red', `- ${oneLine(id)}`)}\n`);
    for (const id of added) terminal.out(`  ${paint('green', `+ ${oneLine(id)}`)}\n`);
    for (const { id, changes } of changed) {
      terminal.out(`  ${paint('yellow', `~ ${oneLine(id)}`)}\n`);
      fields(changes, '      ');
    }
  };
  if (found.story.length > 0) terminal.out(`${paint('bold', 'story')}\n`);
  fields(found.story, '  ');
  part('variables', found.variables);
  part('endings', found.endings);
  part('passages', found.passages);
  part('choices', found.choices);
}

type Imported = Pick<ImportResult, 'notImported' | 'warnings' | 'translated'> & {
  readonly storyId: string;
  readonly versionHash: string;
  readonly lint: readonly Problem[];
};

async function importFile(
  cli: Cli,
  file: string,
  options: FormatOption & ConnectionOptions & Json & { readonly id?: string },
): Promise<number> {
  const { terminal } = cli;
  const { format, source } = await readSource(file, options);
  const http = await connect(cli, options);
  const contentType = { json: 'application/json', yaml: 'application/yaml', twee: 'text/plain; charset=utf-8' }[format];
  let status: number;
  let value: Imported;
  try {
    ({ status, value } = await http.post<Imported>('/admin/stories', { query: { format, id: options.id }, body: source, contentType }));
  } catch (error) {
    if (!(error instanceof ServerRefused) || error.problem.problems === undefined) throw error;
    if (options.json) terminal.out(json(error.problem));
    else terminal.out(problemsText(terminal, error.problem.problems as readonly Problem[]));
    throw error;
  }
  const { error } = severities(value.lint);
  if (options.json) terminal.out(json({ created: status === 201, ...value }));
  else {
    const paint = painter(terminal);
    if (value.lint.length > 0) terminal.out(problemsText(terminal, value.lint));
    if (value.notImported.length > 0)
      terminal.out(`${paint('bold', `Not taken over (${value.notImported.length})`)}\n${notImportedText(terminal, value.notImported)}`);
    const [tone, mark] = error > 0 ? (['red', '✗'] as const) : (['green', '✓'] as const);
    terminal.out(
      `${paint(tone, mark)} ${oneLine(value.storyId)} ${status === 201 ? 'is a new draft' : 'was there already'}: ${summary(value.lint)}\n`,
    );
    terminal.out(`  version ${value.versionHash}\n`);
    if (error === 0) terminal.out(paint('dim', `  publish it: fabula story publish ${oneLine(value.storyId)} HASH\n`));
  }
  return error > 0 ? EXIT.problems : EXIT.ok;
}

async function publish(cli: Cli, id: string, version: string, options: ConnectionOptions & Json): Promise<number> {
  const { terminal } = cli;
  const http = await connect(cli, options);
  try {
    const { value } = await http.post<{ readonly livePlaythroughs: number }>(
      `/admin/stories/${encodeURIComponent(id)}/versions/${version}/publish`,
    );
    const stay = value.livePlaythroughs === 0 ? '' : `; ${counted(value.livePlaythroughs, 'playthrough')} under way stay on other versions`;
    terminal.out(
      options.json
        ? json({ storyId: id, versionHash: version, ...value })
        : `${painter(terminal)('green', '✓')} ${oneLine(id)} is published${stay}\n`,
    );
    return EXIT.ok;
  } catch (error) {
    if (error instanceof ServerRefused && error.problem.problems !== undefined && !options.json)
      terminal.out(problemsText(terminal, error.problem.problems as readonly Problem[]));
    throw error;
  }
}
