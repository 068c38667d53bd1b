import { sha256Hex } from '#lib/canonical';
import { authorForm, printExpression, type Choice, type Effect, type Passage, type Story, type TextPart } from '#lib/story';
import { assembleBody } from './twee-body.js';
import { writeText } from './twee-clauses.js';
import { encodeHeaderText, parseTwee } from './twee-document.js';
import { ROLES } from './twee-dialect.js';
import { escapeText, readFabulaPassage } from './twee-fabula.js';
import { parseLink } from './twee-links.js';
import { ImportReport, PassageSource } from './twee-reader.js';
import { writeEnding, writeVariable } from './twee-variables.js';

/*
 * A story in Fabula's dialect of Twee. What reads well is written plainly where reading it gives the same back, and to the letter
 * (`{% text "…" %}`, `{% choice "…" %}`) where it does not.
 */

export function exportTwee(story: Story): string {
  const form = authorForm(story);
  const fabula: { [field: string]: unknown } = { id: story.id };
  for (const field of ['author', 'description', 'language'] as const) if (form[field] !== undefined) fabula[field] = form[field];
  const plainTitle = story.title.trim() === story.title && !/[\r\n]/.test(story.title) && !story.title.startsWith('::');
  if (!plainTitle) fabula['title'] = story.title;
  const names = headerNames(Object.keys(story.passages));
  const data = { ifid: ifidOf(story.id), format: 'Fabula', 'format-version': '1', start: names.get(story.start) ?? story.start, fabula };
  const blocks = [
    ...(plainTitle ? [`:: StoryTitle\n${story.title}`] : []),
    `:: StoryData\n${JSON.stringify(data, null, 2)}`,
    section(
      'StoryVariables',
      Object.entries(story.variables).map(([name, variable]) => writeVariable(name, variable)),
    ),
    section(
      'StoryEndings',
      Object.entries(story.endings).map(([id, ending]) => writeEnding(id, ending.title)),
    ),
    ...Object.entries(story.passages).map(([id, passage]) => writePassage(id, names.get(id) ?? id, passage)),
  ];
  return `${blocks.filter((block) => block !== '').join('\n\n')}\n`;
}

const section = (name: string, lines: readonly string[]): string => (lines.length === 0 ? '' : `:: ${name}\n${lines.join('\n')}`);

/** Twine wants an IFID; derived, so that the same story is always the same file. */
function ifidOf(storyId: string): string {
  const hex = sha256Hex(`fabula ifid ${storyId}`).toUpperCase();
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-A${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** A header that gives the id back, or else a stand-in name beside which a `passage` clause names the id. */
function headerNames(ids: readonly string[]): ReadonlyMap<string, string> {
  const taken = new Set(ids);
  return new Map(
    ids.map((id) => {
      if (!ROLES.has(id) && parseTwee(`:: ${encodeHeaderText(id)}`).passages[0]?.name === id) return [id, id];
      let name = 'Passage';
      for (let n = 2; taken.has(name); n++) name = `Passage ${n}`;
      taken.add(name);
      return [id, name];
    }),
  );
}

function writePassage(id: string, name: string, passage: Passage): string {
  const headerTags = passage.tags.filter((tag) => !/[\s\\[\]{}]/.test(tag) && tag !== 'script' && tag !== 'stylesheet');
  const settings = [
    ...(name === id ? [] : [`passage ${JSON.stringify(id)}`]),
    ...(passage.title === id ? [] : [`title ${JSON.stringify(passage.title)}`]),
    ...passage.tags.filter((tag) => !headerTags.includes(tag)).map((tag) => `tag ${JSON.stringify(tag)}`),
    ...(passage.offerWhen === undefined ? [] : [`storylet if ${printExpression(passage.offerWhen)}`]),
    ...(passage.priority === 0 ? [] : [`priority ${passage.priority}`]),
    ...(passage.storylets === undefined ? [] : [`hub ${writeText(passage.storylets.tag)} limit ${passage.storylets.limit}`]),
    ...(passage.ending === undefined ? [] : [`ending ${writeText(passage.ending)}`]),
    ...passage.effects.map(writeEffect),
  ];
  const header = `:: ${encodeHeaderText(name)}${headerTags.length > 0 ? ` [${headerTags.map(encodeHeaderText).join(' ')}]` : ''}`;
  const body = settings.map((clause) => `{% ${clause} %}`).join('\n');
  const choices = passage.choices.map(writeChoice).join('\n');
  const text = writeParts(passage.text);
  return [header, body, text, text !== '' && choices !== '' ? '' : undefined, choices]
    .filter((part) => part !== undefined && part !== '')
    .join('\n');
}

function writeParts(parts: readonly TextPart[]): string {
  if (parts.length === 0) return '';
  let plain = '';
  for (const { text, when } of parts) {
    const escaped = escapeText(text);
    if (when === undefined) plain += escaped;
    else {
      const own = (plain === '' || plain.endsWith('\n')) && text.endsWith('\n');
      plain += own
        ? `{% if ${printExpression(when)} %}\n${escaped}{% endif %}\n`
        : `{% if ${printExpression(when)} %}${escaped}{% endif %}`;
    }
  }
  if (readsAs(plain, parts)) return plain;
  return parts
    .map(({ text, when }) => {
      const exact = `{% text ${JSON.stringify(text)} %}`;
      return when === undefined ? exact : `{% if ${printExpression(when)} %}${exact}{% endif %}`;
    })
    .join('\n');
}

/** Whether the written text, as part of a passage, gives exactly these parts. */
function readsAs(written: string, parts: readonly TextPart[]): boolean {
  const document = parseTwee(`:: X\n{% priority 1 %}\n${written}\n{% priority 1 %}`);
  const [passage] = document.passages;
  if (document.passages.length !== 1 || passage === undefined) return false;
  const report = new ImportReport();
  const { text, choices, effects } = assembleBody(readFabulaPassage(new PassageSource(passage, 'X', report)).pieces, {
    collapseBlankLines: false,
  });
  return (
    report.problems.length === 0 &&
    choices.length === 0 &&
    effects.length === 0 &&
    text.length === parts.length &&
    text.every((part, i) => {
      const wanted = parts[i] as TextPart;
      return part.text === wanted.text && part.when?.text === (wanted.when && printExpression(wanted.when));
    })
  );
}

function writeChoice(choice: Choice): string {
  const { target } = choice;
  const clauses = [
    `id ${writeText(choice.id)}`,
    ...(choice.visibleWhen === undefined ? [] : [`show if ${printExpression(choice.visibleWhen)}`]),
    ...(choice.enabledWhen === undefined ? [] : [`need ${printExpression(choice.enabledWhen)}`]),
    ...(choice.reason === undefined ? [] : [`reason ${JSON.stringify(choice.reason)}`]),
    ...(choice.repeat === 'once' ? ['once'] : []),
    ...(choice.kind === 'fallback' ? ['fallback'] : []),
    ...(choice.kind === 'timed' ? [`timed ${writeTime(choice.timeoutMs ?? 0)}`] : []),
    ...choice.effects.map(writeEffect),
  ];
  if ('passage' in target) {
    const inside = `${choice.label}->${target.passage}`;
    const read = parseLink(inside);
    const plain =
      !/[\r\n]|\]\]|\]\[/.test(inside) && !inside.endsWith(']') && read.label === choice.label && read.target === target.passage;
    if (plain) return `[[${inside}]] {% ${clauses.join('; ')} %}`;
  }
  const to = 'passage' in target ? `to ${JSON.stringify(target.passage)}` : 'end' in target ? `end ${writeText(target.end)}` : 'return';
  return `{% choice ${JSON.stringify(choice.label)}; ${[to, ...clauses].join('; ')} %}`;
}

const writeTime = (ms: number): string => (ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`);

function writeEffect(effect: Effect): string {
  const when = effect.when === undefined ? '' : ` if ${printExpression(effect.when)}`;
  switch (effect.do) {
    case 'set':
      return `set ${effect.variable} = ${printExpression(effect.to)}${when}`;
    case 'add':
      return `add ${effect.variable} ${printExpression(effect.by)}${when}`;
    case 'insert':
    case 'remove':
      return `${effect.do} ${effect.variable} ${writeText(effect.member)}${when}`;
    case 'draw': {
      const { min, max } = effect;
      const bounds =
        min !== undefined && max !== undefined
          ? ` ${min}..${max}`
          : min !== undefined
            ? ` min ${min}`
            : max !== undefined
              ? ` max ${max}`
              : '';
      return `draw ${effect.variable}${bounds} as ${writeText(effect.id)}${when}`;
    }
  }
}
