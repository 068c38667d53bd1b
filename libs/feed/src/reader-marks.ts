import { createHmac, randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import type { ReaderMark } from './feed-event.js';

/**
 * Readers of a story must be told apart in the feed, so that distinct ones can be counted, and must not be known by it: even a pseudonym is
 * personal data, and the log's is the same in every story. So the feed carries a keyed digest of reader and story. Without the key, which never
 * leaves the database, nothing leads from a mark to a pseudonym, nor from a reader's mark in one story to that in another.
 */
export function readerMarks(key: Buffer): ReaderMark {
  return (storyId, reader) =>
    createHmac('sha256', key).update(`fabula-feed-reader-1\0${storyId}\0${reader}`).digest().subarray(0, 16).toString('base64url');
}

/** The key of this installation, made when it is first asked for. */
export async function openFeedKey(pool: Pool): Promise<Buffer> {
  await pool.query('insert into fabula.feed_key (key) values ($1) on conflict (single) do nothing', [randomBytes(32)]);
  // Another process may have been first: what the table holds counts.
  const { rows } = await pool.query<{ key: Buffer }>('select key from fabula.feed_key');
  return (rows[0] as { key: Buffer }).key;
}
