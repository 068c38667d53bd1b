import { authorForm, type Story } from '#lib/story';
import { Document, isScalar, Scalar, visit } from 'yaml';
import type { StoryFormat } from './import-result.js';
import { exportTwee } from './twee-export.js';

/** The story as text that `importStory` reads back to the same story, with the same hash. */
export function exportStory(story: Story, format: StoryFormat): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(authorForm(story), null, 2)}\n`;
    case 'yaml':
      return writeYaml(authorForm(story));
    case 'twee':
      return exportTwee(story);
  }
}

/** Texts with blanks at an edge of a line, or with control characters, are written in double quotes: block scalars lose them. */
const fragile = /^\s|\s$|[ \t]\n|\n[ \t]|[^\P{Cc}\n]|[\u2028\u2029\ufeff]/u;

function writeYaml(form: object): string {
  const document = new Document(form, { version: '1.2', schema: 'core', aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_, node) {
      if (isScalar(node) && typeof node.value === 'string' && fragile.test(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER });
}
