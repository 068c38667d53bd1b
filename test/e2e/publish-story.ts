import type { ApiClient } from '../support/api-client.js';

/** Imports a story and publishes it; answers its content hash. */
export async function publishStory(author: ApiClient, source: string, format: 'json' | 'yaml' | 'twee' = 'yaml'): Promise<string> {
  const imported = await author.rest('POST', `/admin/stories?format=${format}`, source);
  if (imported.status !== 201) throw new Error(`import answered ${imported.status}: ${imported.text}`);
  const { storyId, versionHash } = imported.body as { storyId: string; versionHash: string };
  const published = await author.rest('POST', `/admin/stories/${storyId}/versions/${versionHash}/publish`);
  if (published.status !== 200) throw new Error(`publish answered ${published.status}: ${published.text}`);
  return versionHash;
}
