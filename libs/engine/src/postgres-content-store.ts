import { sha256Hex } from '#lib/canonical';
import type { ContentStore } from './content-cache.js';

/** The part of a `pg` pool that is used here. */
interface Queryable {
  query(statement: {
    readonly name: string;
    readonly text: string;
    readonly values: readonly string[];
  }): Promise<{ rows: { content: string }[] }>;
}

/** Story content in `fabula.story_blobs`: primary data, written once under its hash. */
export class PostgresContentStore implements ContentStore {
  constructor(private readonly pool: Queryable) {}

  async get(hash: string): Promise<string | undefined> {
    const text = 'select content from fabula.story_blobs where hash = $1';
    return (await this.pool.query({ name: 'story-blob-get', text, values: [hash] })).rows[0]?.content;
  }

  /** @throws RangeError when the text is not the content of that hash: nothing may be stored under a name that is not its own. */
  async put(hash: string, content: string): Promise<void> {
    if (sha256Hex(content) !== hash) throw new RangeError(`content does not hash to ${hash}`);
    const text = 'insert into fabula.story_blobs (hash, content) values ($1, $2) on conflict (hash) do nothing';
    await this.pool.query({ name: 'story-blob-put', text, values: [hash, content] });
  }
}
