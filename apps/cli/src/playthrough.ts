import type { Command } from 'commander';
import { UnknownEvent, type RecordedEvent } from '#lib/decision';
import { applyRecorded, BrokenFold, stateHash, type PlaythroughState } from '#lib/playthrough';
import { action, noted, type Cli, type Ending } from './cli.js';
import { connect, connecting, type ConnectionOptions } from './connection.js';
import { CliFailure, EXIT } from './exit-codes.js';
import type { HttpClient } from './http-client.js';
import { counted, duration, instant, json, oneLine, painter, table } from './layout.js';

/** One turn as `GET /admin/playthroughs/{id}/turns` shows it to support. */
interface SupportTurn {
  readonly turn: number;
  readonly kind: string;
  readonly passageId?: string;
  readonly choiceId?: string;
  readonly label?: string;
  readonly at: string;
  readonly correlationId: string;
  readonly stateHash: string;
  readonly offset: number;
  readonly events: readonly RecordedEvent[];
  /** Operators see types, sizes and digests of events only: then nothing above but turn, kind, times and ids is there. */
  readonly withheld?: true;
}

type Options = ConnectionOptions & { readonly json?: true };

/** `fabula playthrough …` */
export function playthroughCommands(program: Command, cli: Cli, ending: Ending): void {
  const group = program.command('playthrough').description('look at what a reader did');
  const one = (name: string, what: string): Command =>
    connecting(group.command(name).description(what).argument('<id>', 'the playthrough').option('--json', 'for programs'));

  noted(one('show', 'show every turn, oldest first'), {
    details: 'Role author; operators see that there were turns, and behind broken glass also what was read and chosen.',
  }).action(action(ending, (id: string, options: Options) => show(cli, id, options)));
  noted(one('replay', 'fold the recorded events here and compare every state hash'), {
    details: 'Role author. The fold runs in this process, with the functions of this build.',
    exits: [[EXIT.problems, 'A state differs: the first such turn is named.']],
  }).action(action(ending, (id: string, options: Options) => replay(cli, id, options)));
}

const turnsOf = (http: HttpClient, id: string): AsyncGenerator<SupportTurn> =>
  http.all<SupportTurn>(`/admin/playthroughs/${encodeURIComponent(id)}/turns`, { checkpoints: 'true' });

async function show(cli: Cli, id: string, options: Options): Promise<number> {
  const { terminal } = cli;
  const turns: SupportTurn[] = [];
  for await (const turn of turnsOf(await connect(cli, options), id)) turns.push(turn);
  if (options.json) {
    terminal.out(json({ id, turns }));
    return EXIT.ok;
  }
  const [first] = turns;
  const started = first?.events[0];
  const begun = Date.parse(first?.at ?? '');
  const paint = painter(terminal);
  if (first?.withheld === true) terminal.out(`${paint('dim', 'What was read and chosen is withheld from operators.')}\n\n`);
  else if (started !== undefined) {
    const [story, version] = [started['storyId'], started['versionHash']].map((text) => oneLine(String(text)));
    terminal.out(`${paint('bold', oneLine(id))}\n`);
    terminal.out(`${paint('dim', `${story}, version ${version?.slice(0, 12)}, begun ${instant(begun)}`)}\n\n`);
  }
  terminal.out(
    table(terminal, turns, [
      { title: 'turn', cell: ({ turn }) => turn },
      { title: 'after', cell: ({ at }) => duration(Date.parse(at) - begun) },
      { title: 'what', cell: ({ kind }) => kind.toLowerCase().replaceAll('_', ' ') },
      { title: 'passage', cell: ({ passageId }) => passageId ?? '', flexible: true },
      { title: 'choice', cell: ({ label, choiceId }) => (choiceId === '' ? '' : (label ?? '')), flexible: true },
      { title: 'state', cell: (turn) => turn.stateHash.slice(0, 8), tone: () => 'dim' },
    ]),
  );
  return EXIT.ok;
}

async function replay(cli: Cli, id: string, options: Options): Promise<number> {
  const { terminal } = cli;
  const paint = painter(terminal);
  let state: PlaythroughState | null = null;
  let [turns, events] = [0, 0];
  const report = (ok: boolean, difference: object | null): void => {
    if (options.json)
      terminal.out(
        json({ id, ok, turns, events, stateHash: state === null ? null : stateHash(state), status: state?.status ?? null, difference }),
      );
  };
  for await (const row of turnsOf(await connect(cli, options), id)) {
    if (row.withheld === true)
      throw new CliFailure(
        'What was read and chosen is withheld from operators, so nothing can be folded; take a token with the role author.',
      );
    try {
      for (const event of row.events) {
        state = applyRecorded(state, event);
        events++;
      }
      if (state === null || stateHash(state) !== row.stateHash)
        throw new BrokenFold(`the read model says ${row.stateHash}, the fold gives ${state === null ? 'nothing' : stateHash(state)}`);
      if (row.kind !== 'CHECKPOINT') turns++;
    } catch (error) {
      if (!(error instanceof BrokenFold) && !(error instanceof UnknownEvent)) throw error;
      report(false, { turn: row.turn, offset: row.offset, reason: error.message });
      if (!options.json)
        terminal.out(
          `${paint('red', '✗')} turn ${row.turn} (offset ${row.offset}, correlation id ${oneLine(row.correlationId)}) differs:\n  ${oneLine(error.message)}\n`,
        );
      return EXIT.problems;
    }
  }
  report(true, null);
  if (!options.json)
    terminal.out(
      `${paint('green', '✓')} ${counted(turns, 'turn')} from ${counted(events, 'event')}, every state as recorded${state === null ? '' : `; state ${stateHash(state)}`}\n`,
    );
  return EXIT.ok;
}
