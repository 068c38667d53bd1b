import type { Problem } from '../api/problem.js';

export interface PlainWords {
  readonly title: string;
  readonly text: string;
}

const words: { readonly [code: string]: PlainWords } = {
  NETWORK: {
    title: 'No connection',
    text: 'The server could not be reached. Nothing you did is lost, and trying again never counts twice.',
  },
  TIMEOUT: { title: 'That is taking too long', text: 'No answer came in time. It may have worked; trying again never counts twice.' },
  UNAUTHENTICATED: {
    title: 'You are not signed in',
    text: 'Your pass for this page has run out or was not accepted. Open the page again from where you came.',
  },
  FORBIDDEN: { title: 'Not for this pass', text: 'Your pass does not allow this.' },
  STORY_NOT_FOUND: { title: 'No such story', text: 'This story does not exist here, or no longer does.' },
  STORY_RETIRED: { title: 'This story has been retired', text: 'It can no longer be started. What you have begun you can still finish.' },
  VERSION_NOT_FOUND: { title: 'No such edition', text: 'This edition of the story does not exist here.' },
  PLAYTHROUGH_NOT_FOUND: { title: 'No such page', text: 'There is nothing of yours under this address. It may belong to another reader.' },
  PLAYTHROUGH_ENDED: { title: 'The story has ended', text: 'There is nothing left to choose here. You can go back to an earlier moment.' },
  PLAYTHROUGH_PARKED: {
    title: 'This story is being mended',
    text: 'Something in its record needs attention. Your place is kept; please come back later.',
  },
  CHOICE_UNKNOWN: { title: 'That is no longer possible', text: 'This choice is not open to you at the moment. You see here what is.' },
  CHOICE_LOCKED: { title: 'Not yet', text: 'This choice is locked at the moment.' },
  STATE_TOO_LARGE: {
    title: 'Too much to remember',
    text: 'The story has grown beyond what can be kept. Go back to an earlier moment to continue.',
  },
  TURN_STALE: {
    title: 'The story had already moved on',
    text: 'It went on in another window, or the time ran out. This is where it stands now.',
  },
  COMMAND_REUSED: { title: 'That was sent before', text: 'The same request was used for something else. Please choose again.' },
  LOG_UNAVAILABLE: {
    title: 'The story cannot be written down',
    text: 'Nothing is lost, but nothing can be added just now. Try again in a moment.',
  },
  OUTCOME_UNKNOWN: { title: 'Did that count?', text: 'The server cannot say yet. Trying again is safe: it never counts twice.' },
  OVERLOADED: { title: 'A great many readers', text: 'The server is busy. Try again in a moment; it never counts twice.' },
  RATE_LIMITED: { title: 'A little slower, please', text: 'Too many requests came from here in a short time. Try again in a moment.' },
  NOT_YET_VISIBLE: { title: 'Not ready yet', text: 'It is written down, but not yet to be read. Try again in a moment.' },
  BAD_INPUT: { title: 'That was not understood', text: 'The server could not make sense of it. A name has at most 200 characters.' },
};
const unknown: PlainWords = {
  title: 'Something went wrong',
  text: 'This should not have happened, and it has been noted. Your story is safe.',
};

/** Every problem in words for readers; the catalogue's own message is for developers. */
export function plainWords(problem: Problem): PlainWords {
  return (Object.hasOwn(words, problem.code) ? words[problem.code] : undefined) ?? unknown;
}
