import fs from 'node:fs/promises';
import path from 'node:path';
import type { Actor } from '#lib/decision';
import { systemIds } from '#lib/platform';
import type { StoryFormat } from '#lib/story-formats';
import type { FabulaNode } from './node.js';

const FORMATS: Readonly<Record<string, StoryFormat>> = { '.yaml': 'yaml', '.json': 'json', '.twee': 'twee' };
const AUTHOR: Actor = { id: 'fabula-samples', role: 'system' };

/** Publishes the stories that come with Fabula where there is none of that id yet; an author's later versions are left alone. */
export async function publishSampleStories(node: FabulaNode, root: string): Promise<readonly string[]> {
  const folder = path.join(root, 'stories');
  const published: string[] = [];
  for (const name of (await fs.readdir(folder)).toSorted()) {
    const format = FORMATS[path.extname(name)];
    if (format === undefined) continue;
    const id = path.basename(name, path.extname(name));
    if ((await node.reads.story(id)).value !== undefined) continue;
    const origin = { correlationId: systemIds.uuid() };
    const { storyId, versionHash } = await node.stories.import(
      await fs.readFile(path.join(folder, name), 'utf8'),
      format,
      id,
      AUTHOR,
      origin,
    );
    await node.stories.publish(storyId, versionHash, AUTHOR, origin);
    published.push(storyId);
  }
  return published;
}
