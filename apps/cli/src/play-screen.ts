import { isRejection, type Rejection } from '#lib/decision';
import { TIMEOUT_GRACE_MS, type Moment, type PlaythroughEvent } from '#lib/playthrough';
import type { CompiledStory } from '#lib/story';
import type { Cli } from './cli.js';
import { CliFailure, EXIT } from './exit-codes.js';
import { duration, oneLine, painter, wrapped } from './layout.js';
import { SoloPlaythrough } from './solo-playthrough.js';
import type { Terminal } from './terminal.js';

/** Lines of prose longer than this are hard to read. */
const PROSE_WIDTH = 76;
const INDENT = '     ';

/** A story played in the terminal until it ends, the reader quits or the input does. */
export async function playInTerminal(cli: Cli, story: CompiledStory, seed: string): Promise<number> {
  const { terminal } = cli;
  const paint = painter(terminal);
  const play = SoloPlaythrough.start(story, seed, cli.now);
  if (!(play instanceof SoloPlaythrough)) throw new CliFailure(`The story cannot start: ${play.message}`);
  const { title, author } = story.story;
  terminal.out(`\n${paint('bold', oneLine(title))}${author === undefined ? '' : paint('dim', `  by ${oneLine(author)}`)}\n`);
  terminal.out(paint('dim', `A number chooses; u goes back, s shows the variables, q quits. Seed ${oneLine(seed)}.\n`));
  let shown = -1;
  for (;;) {
    const { moment } = play;
    if (play.state.turn !== shown) showMoment(cli, story, moment);
    shown = play.state.turn;
    if (play.state.status === 'ended') return EXIT.ok;
    if (moment.offers.every(({ enabled }) => !enabled) && moment.deadline === null) {
      terminal.out(paint('red', 'Nothing can be chosen here: the story is stuck.\n'));
      return EXIT.problems;
    }
    const asked = await askInTime(cli, paint('bold', '> '), moment.deadline);
    const late = play.timeOut();
    if (late !== undefined) {
      terminal.out(`\n${paint('yellow', isRejection(late) ? late.message : 'You waited too long.')}\n`);
      continue;
    }
    if (asked.kind === 'late') continue;
    if (asked.kind === 'end') return leave(cli);
    const answer = asked.text.trim().toLowerCase();
    if (answer === '') continue;
    if (answer === 'q' || answer === 'quit' || answer === 'exit') return leave(cli);
    if (answer === 's' || answer === 'state') showVariables(cli, story, play);
    else if (answer === 'u' || answer === 'undo') said(cli, play.undo(), 'This is the beginning.');
    else
      said(
        cli,
        chosen(play, moment, answer),
        `${moment.offers.length === 1 ? 'Only 1 can be chosen' : `A number from 1 to ${moment.offers.length}`}; or u, s, q.`,
      );
  }
}

function chosen(play: SoloPlaythrough, { offers }: Moment, answer: string): readonly PlaythroughEvent[] | Rejection | undefined {
  const offer = /^\d{1,3}$/.test(answer) ? offers[Number(answer) - 1] : undefined;
  if (offer === undefined) return undefined;
  if (!offer.enabled) return { rejected: 'CHOICE_LOCKED', message: offer.reason ?? 'This choice is locked.' };
  return play.choose(offer.id);
}

function said({ terminal }: Cli, done: readonly PlaythroughEvent[] | Rejection | undefined, otherwise: string): void {
  if (done === undefined) terminal.out(`${otherwise}\n`);
  else if (isRejection(done)) terminal.out(`${painter(terminal)('yellow', wrapped(done.message, PROSE_WIDTH))}\n`);
}

function leave({ terminal }: Cli): number {
  terminal.out('\n');
  return EXIT.ok;
}

/** With a timed choice under way, the question ends by itself when the time has run out. */
async function askInTime(cli: Cli, question: string, deadline: number | null): ReturnType<Cli['terminal']['ask']> {
  if (deadline === null) return cli.terminal.ask(question);
  const late = new AbortController();
  const answered = new AbortController();
  void cli
    .sleep(Math.max(0, deadline + TIMEOUT_GRACE_MS + 1 - cli.now()), answered.signal)
    .then(() => answered.signal.aborted || late.abort());
  try {
    return await cli.terminal.ask(question, late.signal);
  } finally {
    answered.abort();
  }
}

function showMoment(cli: Cli, { story }: CompiledStory, moment: Moment): void {
  const { terminal } = cli;
  const paint = painter(terminal);
  const width = Math.min(PROSE_WIDTH, terminal.columns);
  const { title, text } = moment.passage;
  terminal.out(`\n${paint('dim', `── ${oneLine(title)} ${'─'.repeat(Math.max(3, width - oneLine(title).length - 4))}`)}\n\n`);
  terminal.out(`${emphasised(terminal, wrapped(text.trim(), width))}\n\n`);
  moment.offers.forEach(({ label, enabled, reason }, at) => {
    const number = `${String(at + 1).padStart(3)}. `;
    if (enabled) {
      terminal.out(`${paint('cyan', number)}${wrapped(oneLine(label), width, INDENT)}\n`);
      return;
    }
    const why = reason === undefined ? 'locked' : `locked: ${reason}`;
    terminal.out(`${paint('dim', `${number}${wrapped(oneLine(`${label} (${why})`), width, INDENT)}`)}\n`);
  });
  if (moment.deadline !== null)
    terminal.out(`${paint('yellow', `${INDENT}You have ${duration(Math.max(0, moment.deadline - cli.now()))}.`)}\n`);
  if (moment.ending === null) return;
  const ending = Object.hasOwn(story.endings, moment.ending) ? story.endings[moment.ending]?.title : undefined;
  terminal.out(`${paint('bold', `The end: ${oneLine(ending ?? moment.ending)}`)}\n`);
}

/** `*emphasis*` and `**strong**` as the player's page shows them; the marks stay where there are no colours. */
function emphasised(terminal: Terminal, text: string): string {
  const paint = painter(terminal);
  if (!terminal.coloured) return text;
  return text.replace(/\*\*(?=\S)([^*]{1,2000}?)(?<=\S)\*\*|\*(?=\S)([^*]{1,2000}?)(?<=\S)\*/g, (_marked, strong?: string, em?: string) =>
    strong === undefined ? paint('italic', em ?? '') : paint('bold', strong),
  );
}

function showVariables({ terminal }: Cli, { story }: CompiledStory, play: SoloPlaythrough): void {
  const paint = painter(terminal);
  const { variables } = play.state.narrative;
  const width = Math.max(0, ...Object.keys(variables).map((name) => name.length));
  for (const [name, value] of Object.entries(variables)) {
    const label = story.variables[name]?.label;
    const shown = oneLine(typeof value === 'object' ? `{${value.join(', ')}}` : String(value));
    terminal.out(`  ${paint('cyan', name.padEnd(width))}  ${shown}${label === undefined ? '' : paint('dim', `  ${oneLine(label)}`)}\n`);
  }
  if (Object.keys(variables).length === 0) terminal.out('  This story has no variables.\n');
}
