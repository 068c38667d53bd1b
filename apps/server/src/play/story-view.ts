import type { StoryRow } from '#lib/projections';
import type { CompiledStory } from '#lib/story';
import type { FabulaNode } from '../node.js';

export interface VersionView {
  readonly hash: string;
  readonly status: 'DRAFT' | 'PUBLISHED' | 'RETIRED';
}
export interface StoryView {
  readonly id: string;
  readonly title: string;
  readonly author: string | null;
  readonly description: string | null;
  readonly language: string;
  readonly version: VersionView | null;
}

/** A story as readers see it, with the version that new playthroughs get. */
export async function storyView(node: FabulaNode, { story }: CompiledStory): Promise<StoryView> {
  const { id, title, author = null, description = null, language } = story;
  const { value } = await node.reads.story(id);
  const current = value?.currentVersion ?? null;
  return { id, title, author, description, language, version: current === null ? null : { hash: current, status: 'PUBLISHED' } };
}

/** A row of the catalogue with the words of its current version. */
export async function listedStory(node: FabulaNode, row: StoryRow): Promise<StoryView> {
  const hash = row.currentVersion;
  if (hash === null) return { id: row.id, title: row.title, author: null, description: null, language: 'und', version: null };
  const { story } = await node.content(hash);
  const { title, author = null, description = null, language } = story;
  return { id: row.id, title, author, description, language, version: { hash, status: 'PUBLISHED' } };
}

/** The version that a playthrough is pinned to. */
export async function versionView(node: FabulaNode, storyId: string, hash: string): Promise<VersionView> {
  const { value } = await node.reads.story(storyId);
  const status = value?.versions.find(({ versionHash }) => versionHash === hash)?.status;
  return { hash, status: status === 'published' ? 'PUBLISHED' : status === 'retired' ? 'RETIRED' : 'DRAFT' };
}
