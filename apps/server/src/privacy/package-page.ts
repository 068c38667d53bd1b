import type { PackagePart } from './reader-package.js';

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
/** Titles are authors' and names readers' words: text, never markup. */
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');

const SECTIONS = { checkpoint: 'Bookmarks', turn: 'What you did', access: 'Who of our staff looked at it' } as const;
const HEADERS = {
  checkpoint: ['Name', 'At turn', 'When'],
  turn: ['Turn', 'When', 'What', 'Passage', 'Choice', 'Changes'],
  access: ['When', 'Role', 'How'],
} as const;

type Listed = Extract<PackagePart, { kind: keyof typeof SECTIONS }>;

/** The package as a page that opens in any browser and prints well: no script, nothing loaded from anywhere. */
export async function* packagePage(parts: AsyncIterable<PackagePart>): AsyncGenerator<string> {
  let open: keyof typeof SECTIONS | undefined;
  const close = (): string => {
    const ending = open === undefined ? '' : '</table>\n';
    open = undefined;
    return ending;
  };
  for await (const part of parts) {
    if (part.kind === 'head') yield head(part);
    else if (part.kind === 'end') yield `${close()}</body></html>\n`;
    else if (part.kind === 'playthrough') yield `${close()}${playthrough(part)}`;
    else {
      const begin = open === part.kind ? '' : `${close()}<h3>${SECTIONS[part.kind]}</h3><table>${row(HEADERS[part.kind], 'th')}`;
      open = part.kind;
      yield `${begin}${row(cells(part), 'td')}`;
    }
  }
}

function head({ value }: Extract<PackagePart, { kind: 'head' }>): string {
  const list = (items: readonly string[]): string => `<ul>${items.map((item) => `<li>${escaped(item)}</li>`).join('')}</ul>`;
  const rules = value.retention.map(
    ({ retention, purpose, keepDays }) => `${retention}: ${purpose} (${keepDays === null ? 'no end set' : `${keepDays} days`})`,
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>What is held about you</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;width:100%}th,td{border:1px solid #999;padding:.25rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}</style></head><body>
<h1>What is held about you</h1>
<p>Pseudonym <code>${escaped(value.pseudonym)}</code>, as of ${value.generatedAt}.</p>
<h2>What for</h2><p>${escaped(value.purposes)}</p>
<h2>Who can see it</h2>${list(value.recipients)}
<h2>How long</h2>${list(rules)}<p>${escaped(value.retentionText)}</p>
<h2>Where from</h2><p>${escaped(value.source)}</p>
<h2>Your rights</h2><p>${escaped(value.rights)}</p>
`;
}

function playthrough({ value }: Extract<PackagePart, { kind: 'playthrough' }>): string {
  const { story, id, startedAt, lastAt, status, ending, forkedFrom } = value;
  const fork = forkedFrom === null ? '' : ` A what-if of ${escaped(forkedFrom.playthrough)} from turn ${forkedFrom.turn}.`;
  return `<h2>${escaped(story)}</h2><p>Playthrough <code>${escaped(id)}</code>, begun ${startedAt ?? 'at an unknown time'}, last played ${lastAt}, ${escaped(status)}${ending === null ? '' : ` (${escaped(ending)})`}.${fork}</p>
`;
}

function cells(part: Listed): readonly string[] {
  switch (part.kind) {
    case 'checkpoint':
      return [part.value.name ?? '(its key was destroyed)', String(part.value.turn), part.value.at];
    case 'turn': {
      const { turn, at, what, passage, choice, changes } = part.value;
      return [String(turn), at, what, passage, choice ?? '', JSON.stringify(changes)];
    }
    case 'access':
      return [part.value.at, part.value.by, part.value.action];
  }
}

const row = (texts: readonly string[], cell: 'td' | 'th'): string =>
  `<tr>${texts.map((text) => `<${cell}>${escaped(text)}</${cell}>`).join('')}</tr>\n`;
