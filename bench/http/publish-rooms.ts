import { request } from 'undici';
import { authorForm } from '#lib/story';
import { verify } from '../row.js';
import { roomStory } from '../story/room-story.js';
import type { ServerProcess } from './server-process.js';

/** The bench's story, imported and published as an author would. */
export async function publishRooms({ url, issuer }: ServerProcess): Promise<void> {
  const authorization = `Bearer ${await issuer.mintToken({ sub: 'bench-author', roles: ['author'] })}`;
  const post = async (address: string, body?: string): Promise<{ storyId: string; versionHash: string }> => {
    const headers = { authorization, ...(body !== undefined && { 'content-type': 'application/yaml' }) };
    const response = await request(`${url}${address}`, { method: 'POST', headers, ...(body !== undefined && { body }) });
    const text = await response.body.text();
    verify(`POST ${address} is taken`, response.statusCode < 300, text.slice(0, 500));
    return JSON.parse(text) as { storyId: string; versionHash: string };
  };
  const { versionHash } = await post('/admin/stories?format=yaml', JSON.stringify(authorForm(roomStory)));
  await post(`/admin/stories/${roomStory.id}/versions/${versionHash}/publish`);
}
