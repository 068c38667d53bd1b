import type { Problem } from '#lib/story';
import type { NotImported } from '#lib/story-formats';
import { counted, oneLine, painter, wrapped, type Tone } from './layout.js';
import type { Terminal } from './terminal.js';

const TONES: Readonly<Record<Problem['severity'], Tone>> = { error: 'red', warning: 'yellow', info: 'cyan' };

/** Findings for people: where, how bad, which code; below it what is wrong and what to do. */
export function problemsText(terminal: Terminal, problems: readonly Problem[]): string {
  const paint = painter(terminal);
  const placeWidth = Math.max(0, ...problems.map((problem) => placeOf(problem).length));
  const indent = ' '.repeat(placeWidth + 4);
  return problems
    .map((problem) => {
      const head = `  ${placeOf(problem).padEnd(placeWidth)}  ${paint(TONES[problem.severity], problem.severity.padEnd(7))}  ${paint('bold', problem.code)}${paint('dim', inStory(problem))}`;
      const text = indent + wrapped(oneLine(problem.message), terminal.columns, indent);
      const help = `${indent}${paint('dim', wrapped(oneLine(`→ ${problem.help}`), terminal.columns, indent))}`;
      return `${head}\n${text}\n${help}\n`;
    })
    .join('');
}

export function notImportedText(terminal: Terminal, list: readonly NotImported[]): string {
  const paint = painter(terminal);
  const placeWidth = Math.max(0, ...list.map(({ line }) => String(line).length));
  const indent = ' '.repeat(placeWidth + 4);
  return list
    .map(({ line, kind, passage, text, reason, hint }) => {
      const where = passage === undefined ? '' : paint('dim', ` in ${oneLine(passage)}`);
      return [
        `  ${String(line).padEnd(placeWidth)}  ${paint('yellow', kind)}${where}`,
        `${indent}${paint('bold', wrapped(oneLine(text), terminal.columns, indent))}`,
        `${indent}${wrapped(oneLine(reason), terminal.columns, indent)}`,
        `${indent}${paint('dim', wrapped(oneLine(`→ ${hint}`), terminal.columns, indent))}`,
        '',
      ].join('\n');
    })
    .join('');
}

export function severities(problems: readonly Problem[]): Readonly<Record<Problem['severity'], number>> {
  const count = { error: 0, warning: 0, info: 0 };
  for (const { severity } of problems) count[severity]++;
  return count;
}

export function summary(problems: readonly Problem[]): string {
  const { error, warning, info } = severities(problems);
  const notes = info === 0 ? '' : `, ${counted(info, 'note')}`;
  return `${counted(error, 'error')}, ${counted(warning, 'warning')}${notes}`;
}

const placeOf = ({ line, column }: Problem): string => (line === undefined ? '–' : `${line}:${column ?? 1}`);

function inStory({ where: { path, passage, choice, variable } }: Problem): string {
  if (passage !== undefined) return `  in ${oneLine(passage)}${choice === undefined ? '' : `/${oneLine(choice)}`}`;
  if (variable !== undefined) return `  variable ${oneLine(variable)}`;
  return path === '' ? '' : `  at ${oneLine(path)}`;
}
