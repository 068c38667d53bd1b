import type { TweeDocument } from './twee-document.js';

/** Whose macros stand in the bodies. `plain`: nobody's, only links are read. */
export type Dialect = 'fabula' | 'sugarcube' | 'harlowe' | 'chapbook' | 'snowman' | 'plain';

type Role = { readonly dialects: 'all' | Dialect } & (
  { readonly use: 'read' } | { readonly use: 'leave'; readonly reason: string; readonly hint: string }
);

const page = {
  dialects: 'sugarcube',
  use: 'leave',
  reason: 'it is part of the page around the story',
  hint: 'The player shows title, public variables and history itself.',
} as const;

/** Special passages by name: read elsewhere, or left out with a reason. */
export const ROLES: ReadonlyMap<string, Role> = new Map<string, Role>([
  ['StoryTitle', { dialects: 'all', use: 'read' }],
  ['StoryData', { dialects: 'all', use: 'read' }],
  ['StoryAuthor', { dialects: 'all', use: 'read' }],
  ['StoryVariables', { dialects: 'fabula', use: 'read' }],
  ['StoryEndings', { dialects: 'fabula', use: 'read' }],
  ['StoryInit', { dialects: 'sugarcube', use: 'read' }],
  ...[
    'StoryBanner',
    'StoryCaption',
    'StoryDisplayTitle',
    'StoryInterface',
    'StoryMenu',
    'StorySettings',
    'StoryShare',
    'StorySubtitle',
  ].map((name): [string, Role] => [name, page]),
  ...['PassageDone', 'PassageFooter', 'PassageHeader', 'PassageReady'].map((name): [string, Role] => [
    name,
    {
      dialects: 'sugarcube',
      use: 'leave',
      reason: 'it runs in every passage',
      hint: 'Put its effects into the passages or choices they belong to.',
    },
  ]),
]);

/** The format that StoryData names; without one, the format whose macros are used. */
export function dialectOf(document: TweeDocument): Dialect {
  const format = document.data?.['format'];
  const named = typeof format === 'string' ? format.toLowerCase() : '';
  if (named.startsWith('fabula')) return 'fabula';
  if (/^(sugarcube|sugarcane)/.test(named)) return 'sugarcube';
  for (const dialect of ['harlowe', 'chapbook', 'snowman'] as const) if (named.startsWith(dialect)) return dialect;
  if (document.passages.some((passage) => passage.name === 'StoryVariables' || /\{%\s*[a-z]/.test(passage.text))) return 'fabula';
  const count = (test: (text: string) => boolean): number => document.passages.filter((passage) => test(passage.text)).length;
  const votes: readonly (readonly [Dialect, number])[] = [
    ['sugarcube', count((text) => /<<\/?[a-z]/i.test(text))],
    [
      'harlowe',
      count((text) =>
        /\((?:set|put|if|unless|else-?if|else|link|link-goto|goto|go-to|display|print|random|either|live|history):/i.test(text),
      ),
    ],
    ['snowman', count((text) => text.includes('<%'))],
    [
      'chapbook',
      count((text) =>
        /^--$|^\[(?:if|unless|else|after|align|javascript|css|cont|continue|continued|append|note)\b[^\]\n]*\]$|\{embed passage|\{reveal link/im.test(
          text,
        ),
      ),
    ],
  ];
  const best = votes.reduce((one, other) => (other[1] > one[1] ? other : one));
  return best[1] > 0 ? best[0] : 'plain';
}
