export { importStory, lintSource, type ImportOptions, type LintedSource } from './import-story.js';
export { exportStory } from './story-export.js';
export {
  MAX_SOURCE_LENGTH,
  SOURCE_PROBLEMS,
  type ImportResult,
  type ImportWarning,
  type NotImported,
  type NotImportedKind,
  type StoryFormat,
  type TranslatedCounts,
} from './import-result.js';
export { joinTwee, parseTwee, type TweeDocument, type TweePassage, type TweeWarning } from './twee-document.js';
