/*
 * The one catalogue of errors that callers see. Codes are stable: clients branch on them. docs/reference/errors.md is made from it.
 */

interface ErrorEntry {
  /** HTTP status on REST; GraphQL answers 200 with the code in `extensions`. */
  readonly status: number;
  /** The same request may succeed later without being changed. */
  readonly retryable: boolean;
  readonly title: string;
  readonly cause: string;
  readonly remedy: string;
}

const entry = (status: number, retryable: boolean, title: string, cause: string, remedy: string): ErrorEntry => ({
  status,
  retryable,
  title,
  cause,
  remedy,
});

export const errorCatalogue = {
  BAD_INPUT: entry(
    400,
    false,
    'The request is malformed',
    'A field is missing, unknown, of the wrong type or outside its bounds.',
    'Read `message` and `details` for the field, mend the request.',
  ),
  UNAUTHENTICATED: entry(
    401,
    false,
    'No valid token',
    'The bearer token is missing, expired, of another issuer or audience, or signed by an unknown key.',
    'Get a new token and send it as `Authorization: Bearer …`.',
  ),
  FORBIDDEN: entry(
    403,
    false,
    'The role does not allow this',
    'The token is valid but lacks the role that the call needs.',
    'Use a token with the role named in `details.role`.',
  ),
  NOT_FOUND: entry(404, false, 'There is nothing here', 'No such path, log, or parked stream.', 'Check the address against the reference.'),
  STORY_NOT_FOUND: entry(
    404,
    false,
    'No such story',
    'The story id is unknown, or nothing of it is published.',
    'List stories; publish a version first.',
  ),
  VERSION_NOT_FOUND: entry(
    404,
    false,
    'No such story version',
    'The content hash is not a version of this story.',
    "List the story's versions.",
  ),
  STORY_RETIRED: entry(
    409,
    false,
    'The story takes no new readers',
    'Its published version was retired.',
    'Choose another story; playthroughs under way go on.',
  ),
  PLAYTHROUGH_NOT_FOUND: entry(
    404,
    false,
    'No such playthrough',
    "The id is unknown, or the playthrough is somebody else's.",
    'List your own playthroughs.',
  ),
  PLAYTHROUGH_ENDED: entry(
    409,
    false,
    'The story has ended',
    'A choice was sent to a playthrough that reached an ending.',
    'Rewind, or start again.',
  ),
  PLAYTHROUGH_PARKED: entry(
    409,
    true,
    'The playthrough is held back',
    'One of its records could not be applied; an operator has been told.',
    'Try again later; operators: `fabula projection parked`.',
  ),
  CHOICE_UNKNOWN: entry(
    409,
    false,
    'No such choice now',
    'The choice is not offered at this turn, or is hidden from the reader.',
    'Choose among the offers of the current moment.',
  ),
  CHOICE_LOCKED: entry(
    409,
    false,
    'The choice is locked',
    'The choice is visible but its condition does not hold.',
    "Read `details.reason`, the author's words.",
  ),
  STORY_FAULT: entry(
    409,
    false,
    'The story cannot go on this way',
    'An effect of the story failed: overflow, division by zero, returns nested too deep.',
    "Take another choice; tell the story's author.",
  ),
  STATE_TOO_LARGE: entry(
    409,
    false,
    'The playthrough has grown too large',
    'Its state would pass 64 KiB, or it has 50 checkpoints.',
    'Rewind or start again; authors: use fewer variables.',
  ),
  TURN_STALE: entry(
    409,
    false,
    'The playthrough has moved on',
    'Another device, a time-out or a retry moved it since the turn that was sent.',
    'Show the moment in the error and let the reader choose again.',
  ),
  COMMAND_REUSED: entry(
    409,
    false,
    'The commandId was used for something else',
    'A commandId names one command for ever; this one came with other content.',
    'Make a new UUID for each new command.',
  ),
  CONFLICT: entry(409, false, 'Not in this state', 'The thing exists but its state does not allow the call.', 'Read `message`.'),
  ACTION_NOT_FOUND: entry(
    404,
    false,
    'No such action',
    'The id is unknown, or the action is no longer open.',
    'List the actions: `fabula compliance actions`.',
  ),
  ACTION_EXPIRED: entry(409, false, 'The proposal is too old', 'Nobody approved it before `details.expiresAt`.', 'Propose it anew.'),
  NEEDS_ANOTHER_PERSON: entry(
    409,
    false,
    'Another person must decide this',
    'Who proposes an action does not approve it.',
    'Ask somebody else who has one of the roles that suffice.',
  ),
  RECORDS_PRUNED: entry(
    410,
    false,
    'These records were pruned',
    'Their retention was over and two people had them forgotten; where a playthrough stands stays, and the way there since its last kept state. `details.from`, where it is given, is the first that is kept.',
    'Go on from where it stands, or back to a turn that is kept; `fabula compliance retention` says what was pruned, and by which action.',
  ),
  LEAVES_PRUNED: entry(
    410,
    false,
    'These leaves were pruned',
    'Their retention was over and two people approved; hashes and proofs of what came later stay. `details.from` is where all leaves are kept.',
    'Ask from `details.from` on; `fabula compliance retention` says what was pruned, and by which action.',
  ),
  HELD: entry(
    409,
    false,
    'A legal hold stands against this',
    'What is to be destroyed is held; `details.hold` names the hold.',
    'Wait until the hold is released, or propose its release.',
  ),
  SUBJECT_NOT_FOUND: entry(
    404,
    false,
    'Nobody has this pseudonym',
    'No link to a person, no key and no playthrough has it, and nobody of that pseudonym was forgotten: most likely it was mistyped.',
    'Look the pseudonym up: `POST /admin/compliance/subjects/lookup`.',
  ),
  CLOCK_WRONG: entry(
    503,
    true,
    'The clocks of the process and of the database disagree',
    'They are more than a minute apart. What time ends in compliance cannot be taken back, so nothing of it is decided by a clock that may be wrong. `message` says whose process it is and how far apart they are.',
    'Set the wrong clock (`chronyc tracking`, `timedatectl`), or stop the process whose clock it is; then send the same command again.',
  ),
  HOLD_NOT_FOUND: entry(
    404,
    false,
    'No such hold',
    'The id is unknown, or the hold was released.',
    'List the holds: `fabula compliance holds`.',
  ),
  BREAK_GLASS_NOT_FOUND: entry(
    404,
    false,
    'No such broken glass',
    'The id is unknown, or it is closed.',
    'Nothing is open; nothing has to be closed.',
  ),
  TOO_MANY_OPEN: entry(
    409,
    false,
    'Too much is open at once',
    'There are bounds to open actions, active holds and broken glasses; see `details.limit`.',
    'End some of them first; place a hold on a wider scope.',
  ),
  LINT_ERRORS: entry(
    422,
    false,
    'The story has errors',
    'Publishing needs zero lint errors; importing needs a readable story.',
    'Mend what `details.problems` lists.',
  ),
  LOG_UNAVAILABLE: entry(
    503,
    true,
    'The log takes nothing at present',
    'The log of record cannot be reached; this attempt recorded nothing. After `OUTCOME_UNKNOWN` an earlier one still may have.',
    'Send the same command again after `retryAfterMs`.',
  ),
  OUTCOME_UNKNOWN: entry(
    503,
    true,
    'Nobody knows yet whether this was recorded',
    'The deadline passed before the log answered.',
    'Send the same command with the same commandId: it takes effect once.',
  ),
  OVERLOADED: entry(
    503,
    true,
    'Too much at once',
    'A queue or cache is full; nothing was recorded.',
    'Send the same command again after `retryAfterMs`.',
  ),
  RATE_LIMITED: entry(
    429,
    true,
    'Too many requests',
    'This caller passed its share, or too many commands wait for one playthrough alone.',
    'Wait `retryAfterMs`.',
  ),
  QUERY_TOO_COMPLEX: entry(
    400,
    false,
    'The query asks for too much',
    'Depth, size or cost of the GraphQL document is over its bound.',
    'Ask for shorter pages or fewer fields.',
  ),
  TOO_LARGE: entry(413, false, 'The request is too large', 'The body is over its bound.', 'Send less; the bound is in `details.limit`.'),
  NOT_YET_VISIBLE: entry(
    503,
    true,
    'Not visible yet',
    'The read models have not reached the position that was asked for within two seconds.',
    'Ask again.',
  ),
  EXPORT_NOT_FOUND: entry(
    404,
    false,
    'No such export',
    'The id is unknown, the export was removed, or another process wrote it and keeps its file.',
    'Download it at `details.address` if that is given; else order a new export.',
  ),
  EXPORT_NOT_READY: entry(
    409,
    true,
    'The export is not finished',
    'It is still being written.',
    'Ask for its progress and download it when done.',
  ),
  INTERNAL: entry(
    500,
    false,
    'Something broke',
    'A defect of Fabula. The log has the details under the correlation id.',
    'Report it with the correlation id.',
  ),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorCatalogue;

export interface ErrorOptions {
  /** Facts for the caller; never secrets, never stacks. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** An error that callers may see, by a code of the catalogue. */
export class FabulaError extends Error {
  override readonly name = 'FabulaError';
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string = errorCatalogue[code].title,
    options: ErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.details = options.details ?? {};
    this.retryAfterMs = options.retryAfterMs ?? (errorCatalogue[code].retryable ? 1_000 : undefined);
  }

  get status(): number {
    return errorCatalogue[this.code].status;
  }
  get retryable(): boolean {
    return errorCatalogue[this.code].retryable;
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCatalogue, code);
}

/** docs/reference/errors.md */
export function errorReference(): string {
  const rows = Object.entries(errorCatalogue).map(
    ([code, { status, retryable, title, cause, remedy }]) =>
      `## ${code}\n\n${title}. HTTP ${status}; ${retryable ? 'may be retried as it is' : 'not retryable as it is'}.\n\n- **Why:** ${cause}\n- **What to do:** ${remedy}\n`,
  );
  return `# Errors\n\nGenerated from the catalogue (\`npm run generate\`). REST answers with \`application/problem+json\` and these statuses; GraphQL with HTTP 200 and\n\`extensions {code, retryable, retryAfterMs, correlationId}\`.\n\n${rows.join('\n')}`;
}
