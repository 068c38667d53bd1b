import type { Command } from 'commander';
import { wrapped } from './layout.js';
import type { Terminal } from './terminal.js';

/** All that a command may touch beside its arguments; specs give their own. */
export interface Cli {
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly fetch: typeof globalThis.fetch;
  readonly now: () => number;
  /** Resolves after so many milliseconds, or when the signal comes. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Fresh randomness as hex. */
  readonly randomHex: (bytes: number) => string;
}

/** What the generated reference says beside what commander knows. */
export interface Notes {
  readonly details?: string;
  readonly examples?: readonly string[];
  readonly exits?: readonly (readonly [code: number, meaning: string])[];
}

const notes = new WeakMap<Command, Notes>();
export const notesOf = (command: Command): Notes => notes.get(command) ?? {};

/** Adds to a command's help, and to the reference, what commander has no place for. */
export function noted(command: Command, given: Notes): Command {
  notes.set(command, given);
  const { details, examples = [], exits = [] } = given;
  const parts = [
    ...(details === undefined ? [] : [wrapped(details, HELP_WIDTH)]),
    ...(examples.length === 0 ? [] : [['Examples:', ...examples.map((line) => `  ${line}`)].join('\n')]),
    ...(exits.length === 0 ? [] : [`Exit codes:\n${exitLines(exits)}`]),
  ];
  return parts.length === 0 ? command : command.addHelpText('after', `\n${parts.join('\n\n')}`);
}

const HELP_WIDTH = 80;

export const exitLines = (exits: NonNullable<Notes['exits']>): string =>
  exits.map(([code, meaning]) => `  ${String(code).padStart(2)}  ${wrapped(meaning, HELP_WIDTH, '      ')}`).join('\n');

/** Where a run of the program keeps the exit code of the command that ran. */
export interface Ending {
  exitCode: number;
}

/** Makes an action from work that answers its exit code. */
export const action =
  <Args extends unknown[]>(ending: Ending, work: (...args: Args) => Promise<number> | number) =>
  async (...args: Args): Promise<void> => {
    ending.exitCode = await work(...args);
  };
