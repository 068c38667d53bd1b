import { parseLink, slug } from './twee-links.js';

describe('The inside of [[…]]', () => {
  it.each([
    ['b', 'b', 'b', undefined],
    ['Go->b', 'Go', 'b', undefined],
    ['b<-Go', 'Go', 'b', undefined],
    ['Go|b', 'Go', 'b', undefined],
    ['a->b->c', 'a->b', 'c', undefined],
    ['c<-a<-b', 'a<-b', 'c', undefined],
    ['a|b|c', 'a|b', 'c', undefined],
    ['a|b->c', 'a|b', 'c', undefined],
    [' Go -> b ', 'Go', 'b', undefined],
    ['Go->b][$x to "]["', 'Go', 'b', '$x to "]["'],
  ])('[[%s]]', (inside, label, target, setter) => {
    expect(parseLink(inside)).toEqual({ label, target, ...(setter !== undefined && { setter }) });
  });

  it('makes ids of labels from their words', () => {
    expect(slug("Pay the Ferryman's fee: {{gold}} gold!")).toBe('pay-the-ferrymans-fee-gold');
    expect(slug('Ça été naïve')).toBe('ca-ete-naive');
    expect(slug('🐉 …')).toBe('');
  });
});
