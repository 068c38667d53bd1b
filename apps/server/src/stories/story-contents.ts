import type { ContentStore } from '#lib/engine';
import { canonicalStory, compileStory, parseCanonicalStory, storyHash, type CompiledStory, type Story } from '#lib/story';

/** Compiled versions kept for reading; a version is immutable, so nothing here is ever stale. */
const KEPT = 64;

/** Story content by hash: stored before the event that names it, compiled once and shared. */
export class StoryContents {
  private readonly compiled = new Map<string, Promise<CompiledStory | undefined>>();

  constructor(private readonly store: ContentStore) {}

  get(hash: string): Promise<CompiledStory | undefined> {
    let story = this.compiled.get(hash);
    if (story === undefined) {
      story = this.load(hash);
      // What failed or was not there may be there the next time.
      const forget = (): void => void this.compiled.delete(hash);
      story.then((found) => found === undefined && forget(), forget);
      if (this.compiled.size >= KEPT) this.compiled.delete(this.compiled.keys().next().value as string);
    } else {
      this.compiled.delete(hash);
    }
    this.compiled.set(hash, story);
    return story;
  }

  /** The content itself; unlike a compiled story it may have errors: drafts do. */
  async story(hash: string): Promise<Story | undefined> {
    const text = await this.store.get(hash);
    return text === undefined ? undefined : parseCanonicalStory(text);
  }

  /** Answers the content hash. */
  async put(story: Story): Promise<string> {
    const hash = storyHash(story);
    await this.store.put(hash, canonicalStory(story));
    return hash;
  }

  private async load(hash: string): Promise<CompiledStory | undefined> {
    const story = await this.story(hash);
    return story === undefined ? undefined : compileStory(story);
  }
}
