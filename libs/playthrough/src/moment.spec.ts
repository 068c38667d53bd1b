import { interpolated, momentOf } from './moment.js';
import { bridge, choice, passage, story } from './testing/small-story.js';
import { Player } from './testing/player.js';

describe('the moment', () => {
  it('shows the text whose conditions hold, with the values of variables, and the visible offers', () => {
    const player = new Player(bridge()).start();
    expect(momentOf(player.story, player.current)).toEqual({
      passage: { id: 'start', title: 'The bridge', text: 'You have 1 coins and . ', tags: ['day'] },
      offers: [
        { id: 'cross', label: 'Take cross', enabled: false, kind: 'normal', reason: 'The ferryman wants three coins and a rope.' },
        { id: 'beg', label: 'Take beg', enabled: true, kind: 'normal' },
        { id: 'look', label: 'Take look', enabled: true, kind: 'normal' },
        { id: 'camp', label: 'Take camp', enabled: true, kind: 'normal' },
        { id: 'give-up', label: 'Take give-up', enabled: true, kind: 'normal' },
      ],
      deadline: null,
      ending: null,
    });
    for (const id of ['look', 'camp', 'storylet:peddler', 'buy', 'leave']) player.choose(id);
    expect(momentOf(player.story, player.current).passage.text).toBe('You have 0 coins and lamp. A rope!');
  });

  it('names storylets by their title and hides what is not there to be chosen', () => {
    const player = new Player(bridge()).start();
    player.choose('camp');
    expect(momentOf(player.story, player.current).offers).toEqual([
      { id: 'leave', label: 'Take leave', enabled: true, kind: 'normal' },
      { id: 'storylet:peddler', label: 'A peddler', enabled: true, kind: 'storylet' },
      { id: 'storylet:dice', label: 'Dice', enabled: true, kind: 'storylet' },
    ]);
  });

  it('offers nothing once the story has ended', () => {
    const player = new Player(bridge()).start();
    player.choose('give-up');
    expect(momentOf(player.story, player.current)).toMatchObject({ offers: [], deadline: null, ending: 'bad', passage: { id: 'start' } });
  });

  it('is not made up on a version that lacks the passage', () => {
    const player = new Player(bridge()).start();
    const other = story({ elsewhere: passage([choice('end', { end: 'good' })]) }, {}, 'elsewhere');
    expect(() => momentOf(other, player.current)).toThrow('the story has no passage "start"');
  });
});

describe('values in text', () => {
  it('are shown as words', () => {
    const variables = { n: -3, b: true, c: false, e: 'storm', s: ['a', 'b'], none: [] };
    expect(interpolated('{{n}} {{ b }} {{c}} {{e}} {{s}} [{{none}}]', variables)).toBe('-3 yes no storm a, b []');
  });

  it('stay as they are where they name nothing, and are not read a second time', () => {
    const variables = { a: '{{b}}', b: 'x' };
    expect(interpolated('{{a}} {{c}} {{constructor}} {{__proto__}} {{}} {{a b}} {a} {{{b}}}', variables)).toBe(
      '{{b}} {{c}} {{constructor}} {{__proto__}} {{}} {{a b}} {a} {x}',
    );
  });

  it('take hostile text without the work growing faster than it', () => {
    for (const part of ['{{', '{{a', '{{ ', '{', '}}', '{{a }', '{{' + ' '.repeat(50)]) {
      const text = part.repeat(200_000 / part.length);
      expect(interpolated(text, { b: 1 })).toBe(text);
    }
    const spaces = '{{' + ' '.repeat(200_000);
    expect(interpolated(spaces, { a: 1 })).toBe(spaces);
    expect(interpolated('{{' + 'a'.repeat(200_000), { a: 1 })).toHaveLength(200_002);
  });
});
