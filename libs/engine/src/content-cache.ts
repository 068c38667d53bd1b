import type { CompiledStory } from '#lib/story';
import { roughSize } from './rough-size.js';

/** Story content by its hash: canonical text, written before the event that names it. */
export interface ContentStore {
  get(hash: string): Promise<string | undefined>;
  put(hash: string, text: string): Promise<void>;
}

/** Text of a StoryVersion into one that can be played. @throws if it is not the content of that hash. */
export type Compile = (hash: string, text: string) => CompiledStory;

/** Compiled stories, shared by all playthroughs of a version; the least recently used leave at the byte cap. */
export class ContentCache {
  private readonly stories = new Map<string, { readonly story: CompiledStory; readonly bytes: number }>();
  private readonly loading = new Map<string, Promise<CompiledStory | undefined>>();
  private bytes = 0;

  constructor(
    private readonly store: ContentStore,
    private readonly compile: Compile,
    private readonly maxBytes: number,
  ) {}

  /** The story if it is at hand. */
  peek(hash: string): CompiledStory | undefined {
    const cached = this.stories.get(hash);
    if (cached === undefined) return undefined;
    this.stories.delete(hash);
    this.stories.set(hash, cached);
    return cached.story;
  }

  /** Loads and compiles once however many ask; undefined when no content has that hash. */
  load(hash: string): Promise<CompiledStory | undefined> {
    const cached = this.peek(hash);
    if (cached !== undefined) return Promise.resolve(cached);
    let loading = this.loading.get(hash);
    if (loading === undefined) {
      loading = this.fetch(hash).finally(() => this.loading.delete(hash));
      this.loading.set(hash, loading);
    }
    return loading;
  }

  private async fetch(hash: string): Promise<CompiledStory | undefined> {
    const text = await this.store.get(hash);
    if (text === undefined) return undefined;
    const story = this.compile(hash, text);
    // Closures, the story itself and the guards' trees: about four times the parsed content.
    const bytes = 4 * roughSize(story.story);
    this.stories.set(hash, { story, bytes });
    this.bytes += bytes;
    for (const [oldest, entry] of this.stories) {
      if (this.bytes <= this.maxBytes || oldest === hash) break;
      this.stories.delete(oldest);
      this.bytes -= entry.bytes;
    }
    return story;
  }
}
