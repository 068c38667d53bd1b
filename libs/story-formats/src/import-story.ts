import { lintStory, normaliseStory, storyHash, uniqueProblems, type Problem, type Story } from '#lib/story';
import {
  MAX_SOURCE_LENGTH,
  NOTHING_TRANSLATED,
  refused,
  SOURCE_PROBLEMS,
  sourceProblem,
  type ImportResult,
  type StoryFormat,
} from './import-result.js';
import { readNative } from './native-syntax.js';
import { firstForbiddenCharacter, LineMap } from './source-text.js';
import { parseTwee } from './twee-document.js';
import { draftOfTwee, placeTweeProblems } from './twee-import.js';

export interface ImportOptions {
  /** Takes the place of the source's own story id. */
  readonly id?: string;
}

/**
 * Reads a story from text. Never throws; the story is there if the source gives one, however many problems it has
 * beside (e.g. missing targets), so that it can be kept as a draft.
 */
export function importStory(format: StoryFormat, source: string, options: ImportOptions = {}): ImportResult {
  return readStory(format, source, options).result;
}

export interface LintedSource {
  readonly result: ImportResult;
  /** Of import and lint, each once, every one with line and column, in the order of the file. */
  readonly problems: readonly Problem[];
}

/** Reads a story from text, lints it, and finds the place of every finding in the text. Never throws. */
export function lintSource(format: StoryFormat, source: string, options: ImportOptions = {}): LintedSource {
  const { result, place } = readStory(format, source, options);
  const placeKey = ({ code, where }: Problem): string => `${code} ${where.path}`;
  // What import found already, it has placed more exactly.
  const known = new Set(result.problems.map(placeKey));
  const lint = result.story === undefined ? [] : lintStory(result.story).filter((problem) => !known.has(placeKey(problem)));
  const problems = uniqueProblems([...result.problems, ...place(lint)]);
  return { result, problems: problems.toSorted((a, b) => (a.line ?? 1) - (b.line ?? 1) || (a.column ?? 1) - (b.column ?? 1)) };
}

interface ReadStory {
  readonly result: ImportResult;
  /** Gives problems of the story that was read their line and column. */
  place(problems: readonly Problem[]): readonly Problem[];
}

const nothingRead = (result: ImportResult): ReadStory => ({ result, place: (problems) => problems });

function readStory(format: StoryFormat, source: string, options: ImportOptions): ReadStory {
  if (source.length > MAX_SOURCE_LENGTH)
    return nothingRead(
      refused(
        sourceProblem(
          SOURCE_PROBLEMS.tooLarge,
          { line: 1, column: 1 },
          `the source has ${source.length} characters; at most ${MAX_SOURCE_LENGTH} are read`,
          'Split the story, or take embedded pictures and scripts out.',
        ),
      ),
    );
  return format === 'twee' ? importTwee(source, options) : importNative(format, source, options);
}

function importNative(format: 'json' | 'yaml', source: string, options: ImportOptions): ReadStory {
  const read = readNative(format, source);
  if (!read.ok) return nothingRead({ problems: read.problems, notImported: [], translated: NOTHING_TRANSLATED, warnings: [] });
  const { value, locate } = read.source;
  const named = options.id !== undefined && typeof value === 'object' && value !== null && !Array.isArray(value);
  const { story, problems } = normaliseStory(named ? { ...value, id: options.id } : value);
  const place = (list: readonly Problem[]): readonly Problem[] =>
    list.map((problem) => ({ ...problem, ...locate(problem.where.path, problem.within) }));
  return {
    result: {
      ...found(story),
      problems: place(problems),
      notImported: [],
      translated: story === undefined ? NOTHING_TRANSLATED : countsOf(story),
      warnings: [],
    },
    place,
  };
}

function importTwee(source: string, options: ImportOptions): ReadStory {
  const forbidden = firstForbiddenCharacter(source);
  if (forbidden !== -1)
    return nothingRead(
      refused(
        sourceProblem(
          SOURCE_PROBLEMS.character,
          new LineMap(source).at(forbidden),
          'the text holds U+0000 or half of a character (a lone surrogate)',
          'Take the broken character out; save the file as UTF-8.',
        ),
      ),
    );
  const draft = draftOfTwee(parseTwee(source), options);
  const { story, problems } = normaliseStory(draft.form);
  const { report } = draft;
  const place = (list: readonly Problem[]): readonly Problem[] => placeTweeProblems(list, draft.places);
  return {
    result: {
      ...found(story),
      problems: [...report.problems, ...place(problems)],
      notImported: report.allNotImported(),
      translated: { ...report.counts },
      warnings: report.warnings,
    },
    place,
  };
}

const found = (story: Story | undefined): { story?: Story; hash?: string } =>
  story === undefined ? {} : { story, hash: storyHash(story) };

function countsOf(story: Story): ImportResult['translated'] {
  const counts = { passages: 0, links: 0, guards: 0, effects: 0, texts: 0 };
  const guards = (...list: readonly unknown[]): void => void (counts.guards += list.filter((guard) => guard !== undefined).length);
  for (const passage of Object.values(story.passages)) {
    counts.passages++;
    counts.texts += passage.text.length;
    guards(passage.offerWhen, ...passage.text.map((part) => part.when));
    for (const owner of [passage, ...passage.choices]) {
      counts.effects += owner.effects.length;
      guards(...owner.effects.map((effect) => effect.when));
    }
    for (const choice of passage.choices) {
      counts.links++;
      guards(choice.visibleWhen, choice.enabledWhen);
    }
  }
  return counts;
}
