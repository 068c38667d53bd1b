import { authorForm, type Story } from '#lib/story';
import { stringify } from 'yaml';
import type { StoryFormat } from './import-result.js';
import { exportTwee } from './twee-export.js';

/** The story as text that `importStory` reads back to the same story, with the same hash. */
export function exportStory(story: Story, format: StoryFormat): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(authorForm(story), null, 2)}\n`;
    case 'yaml':
      return stringify(authorForm(story), { aliasDuplicateObjects: false, lineWidth: 120, version: '1.2', schema: 'core' });
    case 'twee':
      return exportTwee(story);
  }
}
