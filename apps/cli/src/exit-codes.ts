import { EXIT_CODES, type FindingKind } from '#lib/audit';

/** What every command may end with; `audit verify` has codes of its own beside them. */
export const EXIT = { ok: 0, problems: 1, usage: 2, unreachable: 3 } as const;

export const EXIT_MEANINGS: readonly (readonly [code: number, meaning: string])[] = [
  [EXIT.ok, 'Done, and nothing wrong was found.'],
  [EXIT.problems, 'Something wrong was found, or the server refused; the output says what.'],
  [EXIT.usage, 'The command, an option, a file or the environment is wrong; nothing was done.'],
  [EXIT.unreachable, 'The server cannot be reached.'],
];

/** What the codes of `audit verify` mean, in the verifier's own order of causes. */
export const VERIFY_MEANINGS: Readonly<Record<FindingKind, string>> = {
  SIGNATURE: 'A note or manifest that the trusted key did not sign.',
  ROOT: 'Leaves that do not give the signed root.',
  GAP: 'Leaves missing in the middle.',
  REORDER: 'Leaves in another order, twice, or inserted.',
  TRUNCATION: 'The end is missing, or the whole is older than what was released.',
  FORK: 'Two signed histories of one log.',
  LEAF: "A leaf's bytes were changed.",
  MANIFEST: 'A file that is not the one in the signed manifest.',
  MALFORMED: 'Not in the form that Fabula writes.',
  PREVIOUS_UNPROVED: 'The note that was given could not be compared with this bundle.',
  INCOMPLETE: 'Something was left out: a leaf that the filter asks for, a whole tree, or leaves before or behind those that are there.',
  SURPLUS: 'A filtered export shows a leaf that its filter does not ask for.',
  BODY: 'A body that is not the record that its leaf is about.',
  TIMESTAMP: 'A timestamp that is not about the note beside it, or that its certificate did not sign.',
  WITNESS: 'A cosignature that is wrong, or too few of them for the policy that was given.',
  BASE: 'What a pruned partition of the log begins with is not what was recorded (of a store only).',
  TERMS: 'Summaries of blocks that are not those that were signed.',
};

export const verifyExits = (): readonly (readonly [code: number, meaning: string])[] =>
  (Object.keys(EXIT_CODES) as FindingKind[]).map((kind) => [EXIT_CODES[kind], VERIFY_MEANINGS[kind]] as const);

/** Ends a command with a sentence for people and an exit code; anything else that is thrown is a defect. */
export class CliFailure extends Error {
  override readonly name = 'CliFailure';
  constructor(
    message: string,
    readonly exitCode: number = EXIT.problems,
    /** Lines below the sentence: what to do, or single problems. */
    readonly more: readonly string[] = [],
  ) {
    super(message);
  }
}

export const wrongUsage = (message: string, ...more: readonly string[]): CliFailure => new CliFailure(message, EXIT.usage, more);
