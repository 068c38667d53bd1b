import { sha256Hex } from '#lib/canonical';

/** What is wrong with a command's shape. */
export interface InputProblem {
  readonly field: string;
  readonly message: string;
}

const MAX_TEXT = 500;
/** Ciphertext of a checkpoint's name; names are at most 200 characters, 4 bytes each at the worst, in base64url. */
const MAX_CIPHERTEXT = 1_200;
const HEX_32 = /^[0-9a-f]{32}$/;
const BASE64URL = /^[A-Za-z0-9_-]*$/;

type Fields = Readonly<Record<string, unknown>>;

/** Checks a command of unknown shape, before anything is decided on it. Total. */
export function inputProblem(command: unknown): InputProblem | undefined {
  if (!isFields(command)) return { field: 'command', message: 'a command is an object with a type' };
  switch (command['type']) {
    case 'start':
      return firstProblem(
        text(command, 'storyId'),
        text(command, 'versionHash'),
        typeof command['preview'] === 'boolean' ? undefined : { field: 'preview', message: 'preview is true or false' },
        command['seed'] === undefined ? undefined : text(command, 'seed'),
      );
    case 'choose':
      return firstProblem(text(command, 'choiceId'), count(command, 'turn'));
    case 'rewind':
      return firstProblem(count(command, 'toTurn'), count(command, 'turn'));
    case 'fork':
      return firstProblem(text(command, 'from'), count(command, 'atTurn'));
    case 'setCheckpoint':
      return firstProblem(checkpointProblem(command['checkpoint']), count(command, 'turn'));
    case 'timeOut':
      return count(command, 'turn');
    default:
      return { field: 'type', message: 'there is no such command' };
  }
}

function checkpointProblem(checkpoint: unknown): InputProblem | undefined {
  if (!isFields(checkpoint)) return { field: 'checkpoint', message: 'a checkpoint has name, mark and turn' };
  const { name } = checkpoint;
  if (!isFields(name) || name['alg'] !== 'A256GCM') return { field: 'checkpoint.name', message: 'the name is not a sealed text' };
  return (
    text(checkpoint, 'mark') ??
    count(checkpoint, 'turn') ??
    text(name, 'kid') ??
    base64url(name, 'iv', 32) ??
    base64url(name, 'ct', MAX_CIPHERTEXT) ??
    base64url(name, 'tag', 32)
  );
}

/** The seed as stored: 32 hex characters as they are, other words by their hash. */
export function seedOf(words: string): string {
  return HEX_32.test(words) ? words : sha256Hex(`fabula-seed-1\0${words}`).slice(0, 32);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(fields: Fields, field: string): InputProblem | undefined {
  const value = fields[field];
  const fine = typeof value === 'string' && value.length > 0 && value.length <= MAX_TEXT && value.isWellFormed();
  return fine ? undefined : { field, message: `${field} is 1 to ${MAX_TEXT} characters of well-formed text` };
}

function base64url(fields: Fields, field: string, longest: number): InputProblem | undefined {
  const value = fields[field];
  const fine = typeof value === 'string' && value.length <= longest && BASE64URL.test(value);
  return fine ? undefined : { field: `checkpoint.name.${field}`, message: `${field} is base64url of at most ${longest} characters` };
}

function count(fields: Fields, field: string): InputProblem | undefined {
  const value = fields[field];
  const fine = Number.isSafeInteger(value) && (value as number) >= 0;
  return fine ? undefined : { field, message: `${field} is a whole number from 0` };
}

function firstProblem(...problems: readonly (InputProblem | undefined)[]): InputProblem | undefined {
  return problems.find((problem) => problem !== undefined);
}
