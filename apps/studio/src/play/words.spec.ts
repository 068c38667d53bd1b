import { Problem } from '../api/problem.js';
import { changesInWords } from './changes-in-words.js';
import { paragraphsOf, plainOf, runsOf } from './emphasis.js';
import { momentInError } from './moment-in-error.js';
import { plainWords } from './plain-words.js';

describe('a story’s text', () => {
  it('falls into paragraphs at blank lines only', () => {
    expect(paragraphsOf('\nOne,\nstill one.\n \n\nTwo.\n\n')).toEqual(['One,\nstill one.', 'Two.']);
  });

  it('has emphasis and nothing else: HTML and lone stars stay what they are', () => {
    expect(runsOf('a *b* **c** <img src=x onerror=alert(1)> 2 * 3 * 4')).toEqual([
      { text: 'a ', emphasis: 'none' },
      { text: 'b', emphasis: 'em' },
      { text: ' ', emphasis: 'none' },
      { text: 'c', emphasis: 'strong' },
      { text: ' <img src=x onerror=alert(1)> 2 * 3 * 4', emphasis: 'none' },
    ]);
    expect(plainOf('*Bommm*, says **Maria**')).toBe('Bommm, says Maria');
  });

  it('loses no character but the marks, and takes no time over a wall of stars', () => {
    const stars = '*'.repeat(20_000);
    expect(
      runsOf(stars)
        .map((run) => run.text)
        .join(''),
    ).toBe(stars);
  });
});

describe('what a turn changed', () => {
  it('names members that came and went, and both ends of a number, by the author’s labels', () => {
    const changes = [
      { name: 'pack', from: ['form', 'fork'], to: ['brandy', 'fork'] },
      { name: 'coins', from: 3, to: 1 },
      { name: 'lamp', from: false, to: true },
    ];
    expect(changesInWords(changes, [{ name: 'pack', label: 'Carrying', value: [] }])).toEqual([
      { label: 'Carrying', words: '+ brandy, − form' },
      { label: 'coins', words: '3 → 1' },
      { label: 'lamp', words: 'no → yes' },
    ]);
  });
});

describe('a problem in plain words', () => {
  const catalogue = (
    'BAD_INPUT UNAUTHENTICATED FORBIDDEN STORY_NOT_FOUND STORY_RETIRED VERSION_NOT_FOUND PLAYTHROUGH_NOT_FOUND PLAYTHROUGH_ENDED ' +
    'PLAYTHROUGH_PARKED CHOICE_UNKNOWN CHOICE_LOCKED STATE_TOO_LARGE TURN_STALE COMMAND_REUSED LOG_UNAVAILABLE OUTCOME_UNKNOWN OVERLOADED ' +
    'RATE_LIMITED NOT_YET_VISIBLE NETWORK TIMEOUT'
  ).split(' ');
  const unknown = plainWords(new Problem('INTERNAL', '', false));

  it.each(catalogue)('has its own words for %s, without the code', (code) => {
    const words = plainWords(new Problem(code, 'for developers', true));
    expect(words).not.toEqual(unknown);
    expect(`${words.title} ${words.text}`).not.toMatch(/[A-Z]{2,}_|for developers/);
  });

  it('falls back to a calm general sentence, for names that objects inherit too', () => {
    for (const code of ['SOMETHING_NEW', 'constructor', '__proto__']) expect(plainWords(new Problem(code, '', false))).toEqual(unknown);
  });
});

describe('the moment in a TURN_STALE error', () => {
  const moment = { passage: { id: 'a', title: 'A', text: 'T', tags: [] }, choices: [], variables: [] };
  it('is taken when it is whole, and left when it is not', () => {
    expect(momentInError(new Problem('TURN_STALE', '', true, { turn: 3, status: 'active', moment }))).toEqual({
      turn: 3,
      status: 'ACTIVE',
      moment,
    });
    expect(momentInError(new Problem('TURN_STALE', '', true, { turn: 3, status: 'ended', moment }))?.status).toBe('ENDED');
    for (const broken of [
      {},
      { turn: '3', moment },
      { turn: 3 },
      { turn: 3, moment: { ...moment, choices: undefined } },
      { turn: 3, moment: null },
    ]) {
      expect(momentInError(new Problem('TURN_STALE', '', true, broken))).toBeUndefined();
    }
  });
});
