import { isPassageId, parseExpression, type Problem } from '#lib/story';
import { excerpt, type SourcePosition } from './source-text.js';
import { assembleBody, type ChoiceDraft, type EffectDraft, type PassageBody } from './twee-body.js';
import type { Guard } from './twee-clauses.js';
import { CODE_TAGS, type TweeDocument, type TweePassage } from './twee-document.js';
import { readFabulaPassage, type PassageSettings } from './twee-fabula.js';
import { choiceIds, slug } from './twee-links.js';
import { ImportReport, PassageSource } from './twee-reader.js';
import { declarationLines, declaredName, readStoryEndings, readStoryVariables, type AuthorVariable } from './twee-variables.js';
import { readForeignPassages } from './twee-foreign.js';
import { dialectOf, ROLES } from './twee-dialect.js';

/*
 * A Twee document to the native author form, with the place of everything that can be wrong later, by JSON pointer.
 */

export interface TweeDraft {
  readonly form: object;
  readonly places: ReadonlyMap<string, SourcePosition & { readonly composed?: boolean }>;
  readonly report: ImportReport;
}

export function draftOfTwee(document: TweeDocument, options: { readonly id?: string }): TweeDraft {
  return new TweeDrafter(document, options).draft();
}

class TweeDrafter {
  private readonly report = new ImportReport();
  private readonly places = new Map<string, SourcePosition & { readonly composed?: boolean }>();
  private readonly ids = new Map<TweePassage, string>();
  private readonly endings = new Map<string, string | undefined>();

  constructor(
    private readonly document: TweeDocument,
    private readonly options: { readonly id?: string },
  ) {}

  draft(): TweeDraft {
    const { document, report } = this;
    for (const warning of document.warnings) report.warn(warning.line, warning.code, warning.message);
    if (document.prologue !== undefined)
      report.skip({
        line: 1,
        kind: 'passage',
        text: document.prologue,
        reason: 'it stands above the first passage',
        hint: 'Move it into a passage.',
      });
    const dialect = dialectOf(document);
    const kept = this.passagesToRead(dialect);
    this.chooseIds(kept);
    const idOfName = new Map(kept.map((passage) => [passage.name, this.ids.get(passage) as string]));
    const targetOf = (name: string): string => idOfName.get(name) ?? passageId(name);
    const sources = kept.map((passage) => new PassageSource(passage, this.ids.get(passage) as string, report));
    let variables = this.declaredVariables();
    const read: { source: PassageSource; body: PassageBody; settings?: PassageSettings }[] = [];
    if (dialect === 'fabula') {
      for (const source of sources) {
        const { pieces, settings } = readFabulaPassage(source);
        read.push({ source, body: assembleBody(pieces, { collapseBlankLines: false }), settings });
      }
    } else {
      const foreign = readForeignPassages(sources, dialect, this.initialisers(dialect), targetOf);
      variables = foreign.variables;
      foreign.pieces.forEach((pieces, i) =>
        read.push({
          source: sources[i] as PassageSource,
          body: withinLimits(assembleBody(pieces, { collapseBlankLines: true }), sources[i] as PassageSource),
        }),
      );
    }
    for (const ending of this.declaredEndings()) this.endings.set(...ending);
    const passages: { [id: string]: object } = {};
    for (const { source, body, settings } of read) {
      const id = settings?.id ?? source.id;
      if (id === '__proto__' || Object.hasOwn(passages, id))
        source.problem(0, `the passage \`${excerpt(id, 80)}\` cannot stand here (again)`, 'Give it another name.');
      else passages[id] = this.passage(id, source, body, settings, targetOf);
    }
    report.counts.passages = Object.keys(passages).length;
    return { form: { ...this.head(kept, targetOf), variables, passages, endings: this.endingTitles() }, places: this.places, report };
  }

  /** Sorts out code, special passages and repeated names; each is reported. */
  private passagesToRead(dialect: ReturnType<typeof dialectOf>): readonly TweePassage[] {
    const seen = new Set<string>();
    return this.document.passages.filter((passage) => {
      const leave = (kind: 'script' | 'style' | 'passage', reason: string, hint: string): boolean => {
        this.report.skip({ line: passage.line, passage: passage.name, kind, text: passage.text, reason, hint });
        return false;
      };
      const twice = seen.has(passage.name);
      seen.add(passage.name);
      if (passage.name === '') return leave('passage', 'the passage has no name', 'Give it a name.');
      if (twice) return leave('passage', 'another passage has this name; the first one counts', 'Rename one of them.');
      const code = passage.tags.find((tag) => CODE_TAGS.has(tag));
      if (code !== undefined)
        return code === 'script'
          ? leave('script', 'code is never run', 'Express what it does by variables, guards and effects.')
          : leave('style', 'styles belong to the player', 'Style the player instead.');
      const role = ROLES.get(passage.name);
      if (role !== undefined && (role.dialects === 'all' || role.dialects === dialect)) {
        if (role.use === 'read') return false;
        return leave('passage', role.reason, role.hint);
      }
      if (dialect === 'harlowe' && passage.tags.includes('startup')) return false;
      if (dialect === 'sugarcube' && passage.tags.includes('widget'))
        return leave('passage', 'it defines widgets, which are code', 'Write what the widget does where it is used.');
      return true;
    });
  }

  /** Passages whose assignments are the variables' first values. */
  private initialisers(dialect: ReturnType<typeof dialectOf>): readonly PassageSource[] {
    return this.document.passages
      .filter(
        (passage) =>
          (dialect === 'sugarcube' && passage.name === 'StoryInit') || (dialect === 'harlowe' && passage.tags.includes('startup')),
      )
      .map((passage) => new PassageSource(passage, passage.name, this.report));
  }

  private special(name: string): PassageSource | undefined {
    const passage = this.document.passages.find((candidate) => candidate.name === name);
    return passage && new PassageSource(passage, name, this.report);
  }

  private declaredVariables(): { readonly [name: string]: AuthorVariable } {
    const source = this.special('StoryVariables');
    if (source === undefined) return {};
    this.placeDeclarations('/variables', source);
    return readStoryVariables(source);
  }

  private placeDeclarations(path: string, source: PassageSource): void {
    this.place(path, source.at(0));
    for (const line of declarationLines(source)) {
      const name = declaredName(line)?.name;
      if (name !== undefined) this.place(`${path}/${escapePointer(name)}`, source.at(line.at));
    }
  }

  private declaredEndings(): ReadonlyMap<string, string> {
    const source = this.special('StoryEndings');
    if (source === undefined) return new Map();
    this.placeDeclarations('/endings', source);
    return readStoryEndings(source);
  }

  private chooseIds(passages: readonly TweePassage[]): void {
    const taken = new Set(passages.map((passage) => passage.name).filter(isPassageId));
    for (const passage of passages) {
      if (isPassageId(passage.name)) {
        this.ids.set(passage, passage.name);
        continue;
      }
      const base = passageId(passage.name);
      let id = base;
      for (let n = 2; taken.has(id); n++) id = `${base.slice(0, 110)} ${n}`;
      taken.add(id);
      this.ids.set(passage, id);
      this.report.warn(passage.line, 'PASSAGE_RENAMED', `The passage '${excerpt(passage.name, 80)}' is called '${id}' in the story.`);
    }
  }

  private head(kept: readonly TweePassage[], targetOf: (name: string) => string): object {
    const { data, title } = this.document;
    const own = record(data?.['fabula']);
    const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
    const exact = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
    const author = exact(own['author']) ?? text(this.special('StoryAuthor')?.text.trim());
    const name = text(own['title']) ?? text(title) ?? 'Untitled';
    const start = text(data?.['start']) ?? kept.find((passage) => passage.name === 'Start')?.name ?? kept[0]?.name ?? 'Start';
    const at = this.document.passages.find((passage) => passage.name === 'StoryData') ?? this.document.passages[0];
    this.place('', { line: at?.line ?? 1, column: 1 });
    const description = exact(own['description']);
    return {
      fabula: 1,
      id: this.options.id ?? text(own['id']) ?? (slug(name) || 'story'),
      title: name,
      ...(author !== undefined && { author }),
      ...(description !== undefined && { description }),
      ...(text(own['language']) !== undefined && { language: own['language'] }),
      start: kept.some((passage) => passage.name === start) ? targetOf(start) : start,
    };
  }

  private passage(
    id: string,
    source: PassageSource,
    body: PassageBody,
    settings: PassageSettings | undefined,
    targetOf: (name: string) => string,
  ): object {
    const path = `/passages/${escapePointer(id)}`;
    this.place(path, { line: source.passage.line, column: 1 });
    this.report.counts.texts += body.text.length;
    for (const [ending, title] of settings?.endings ?? [])
      if (title !== undefined || !this.endings.has(ending)) this.endings.set(ending, title);
    const tags = [...source.passage.tags, ...(settings?.tags ?? [])];
    const ids = choiceIds(
      body.choices.map(({ id: own, label, target }) => ({ ...(own !== undefined && { id: own }), label, target: targetName(target) })),
    );
    body.text.forEach((part, i) => part.when && this.guardPlace(`${path}/text/${i}/when`, part.when));
    if (settings?.offerWhen) this.guardPlace(`${path}/offerWhen`, settings.offerWhen);
    return {
      ...(settings?.title !== undefined && { title: settings.title }),
      ...(tags.length > 0 && { tags }),
      text: body.text.map((part) => (part.when === undefined ? part.text : { text: part.text, when: part.when.text })),
      effects: this.effects(body.effects, `${path}/effects`),
      choices: body.choices.map((choice, i) => this.choice(choice, ids[i] as string, `${path}/choices/${i}`, targetOf)),
      ...(settings?.offerWhen && { offerWhen: settings.offerWhen.text }),
      ...(settings?.priority !== undefined && { priority: settings.priority }),
      ...(settings?.storylets && { storylets: settings.storylets }),
      ...(settings?.ending !== undefined && { ending: settings.ending }),
    };
  }

  private choice(choice: ChoiceDraft, id: string, path: string, targetOf: (name: string) => string): object {
    this.place(path, choice);
    if (choice.visibleWhen) this.guardPlace(`${path}/visibleWhen`, choice.visibleWhen);
    if (choice.enabledWhen) this.guardPlace(`${path}/enabledWhen`, choice.enabledWhen);
    const { target } = choice;
    return {
      id,
      label: choice.label,
      ...(choice.visibleWhen && { visibleWhen: choice.visibleWhen.text }),
      ...(choice.enabledWhen && { enabledWhen: choice.enabledWhen.text }),
      ...(choice.reason !== undefined && { reason: choice.reason }),
      ...(choice.repeat && { repeat: choice.repeat }),
      ...(choice.kind && { kind: choice.kind }),
      ...(choice.timeoutMs !== undefined && { timeoutMs: choice.timeoutMs }),
      effects: this.effects(choice.effects, `${path}/effects`),
      target: 'passage' in target ? { passage: targetOf(target.passage) } : target,
    };
  }

  private effects(effects: readonly EffectDraft[], path: string): readonly object[] {
    return effects.map((draft, i) => {
      this.place(`${path}/${i}`, draft);
      for (const [field, place] of Object.entries(draft.places ?? {})) this.place(`${path}/${i}/${field}`, place);
      return draft.effect;
    });
  }

  private endingTitles(): { readonly [id: string]: { readonly title: string } } {
    const titles: { [id: string]: { title: string } } = {};
    for (const [id, title] of this.endings) if (id !== '__proto__') titles[id] = { title: title ?? id };
    return titles;
  }

  private guardPlace(path: string, guard: Guard): void {
    this.places.set(path, guard);
  }

  private place(path: string, at: SourcePosition & { readonly composed?: boolean }): void {
    this.places.set(path, { line: at.line, column: at.column, ...(at.composed && { composed: true }) });
  }
}

/** Guards put together from a foreign story's conditions may be too large; a draft without them is better than none. */
function withinLimits(body: PassageBody, source: PassageSource): PassageBody {
  const refused = (guard: { readonly text: string; readonly line: number } | undefined): boolean => {
    if (guard === undefined || parseExpression(guard.text).ok) return false;
    source.report.skip({
      line: guard.line,
      passage: source.passage.name,
      kind: 'condition',
      text: guard.text,
      reason: 'the condition is too large together with those around and before it',
      hint: 'Set a variable by cases and ask for that. Until then, what it guards is always there.',
    });
    return true;
  };
  const free = <T extends { readonly when?: Guard }>(part: T): T => {
    if (!refused(part.when)) return part;
    const { when: _, ...rest } = part;
    return rest as T;
  };
  return {
    text: body.text.map(free),
    choices: body.choices.map((choice) => {
      if (!refused(choice.visibleWhen)) return choice;
      const { visibleWhen: _, ...rest } = choice;
      return rest;
    }),
    effects: body.effects.filter(({ effect, line }) => !refused(effect.when === undefined ? undefined : { text: effect.when, line })),
  };
}

/** Gives problems of the author form their line and column: that of the named place, or of the nearest one around it. */
export function placeTweeProblems(problems: readonly Problem[], places: TweeDraft['places']): readonly Problem[] {
  return problems.map((problem) => {
    let path = problem.where.path;
    while (path !== '' && !places.has(path)) path = path.slice(0, path.lastIndexOf('/'));
    const place = places.get(path) ?? { line: 1, column: 1 };
    const { within } = problem;
    if (within === undefined || path !== problem.where.path || place.composed)
      return { ...problem, line: place.line, column: place.column };
    return {
      ...problem,
      line: place.line + within.line - 1,
      column: within.line === 1 ? place.column + within.column - 1 : within.column,
    };
  });
}

const targetName = (target: ChoiceDraft['target']): string =>
  'passage' in target ? target.passage : 'end' in target ? target.end : 'return';

const escapePointer = (part: string): string => part.replaceAll('~', '~0').replaceAll('/', '~1');

/** A Twine name as an id: `/` and control characters become `-`. */
function passageId(name: string): string {
  if (isPassageId(name)) return name;
  const id = name
    .replace(/[\p{Cc}\u2028\u2029/]/gu, '-')
    .trim()
    .slice(0, 120)
    .trim();
  return isPassageId(id) ? id : `passage ${slug(name)}`.trim();
}

const record = (value: unknown): { readonly [key: string]: unknown } =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as { [key: string]: unknown }) : {};
