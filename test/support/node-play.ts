import { randomUUID } from 'node:crypto';
import { storyStream, type StoryCommand } from '#lib/authoring';
import type { CommandOutcome } from '#lib/engine';
import type { UserRole } from '#lib/platform';
import { derivedPlaythroughId, playthroughStream } from '#lib/playthrough';
import type { Story } from '#lib/story';
import type { Asking } from '../../apps/server/src/compliance/compliance-service.js';
import type { FabulaNode } from '../../apps/server/src/node.js';
import { STORY_TEXT } from '../simulation/story.js';

const HOUR = 3_600_000;
/** The story of the simulation, as it is published here. */
export const SIMULATED = 'sim';

type Accepted = Extract<CommandOutcome, { kind: 'accepted' }>;

/** Somebody with roles, whose pseudonym is `r-` and the name. */
export const asking = (name: string, ...roles: readonly UserRole[]): Asking => ({
  caller: { actor: `r-${name}`, roles: new Set(roles), expiresAt: Date.now() + HOUR } as Asking['caller'],
  origin: { correlationId: randomUUID() },
});

/** Drafts and publishes the story of the simulation on a node; answers its version. */
export async function publishSimulated(node: FabulaNode): Promise<string> {
  const versionHash = await node.contents.put(JSON.parse(STORY_TEXT) as Story);
  const about = { format: 'json', lintErrors: 0, lintWarnings: 0, passages: 2, title: 'Simulated' } as const;
  const command = (given: StoryCommand): Promise<Accepted> =>
    accepted(
      node.execute({
        stream: storyStream(SIMULATED),
        commandId: `c:${randomUUID()}`,
        digestInput: { ...given },
        command: given,
        actor: { id: 'r-author', role: 'author' },
        correlationId: 'c',
        causationId: null,
      }),
    );
  await command({ type: 'draftVersion', storyId: SIMULATED, versionHash, ...about });
  await command({ type: 'publishVersion', versionHash });
  return versionHash;
}

/** Begins a playthrough of that reader. */
export async function startSimulated(
  node: FabulaNode,
  {
    reader,
    versionHash,
    commandId = `c:${randomUUID()}`,
  }: { readonly reader: string; readonly versionHash: string; readonly commandId?: string },
): Promise<Accepted & { readonly id: string; readonly commandId: string }> {
  const id = derivedPlaythroughId(reader, commandId);
  const start = { type: 'start', storyId: SIMULATED, versionHash, preview: false } as const;
  const outcome = await accepted(
    node.execute({
      stream: playthroughStream(id),
      commandId,
      digestInput: start,
      command: start,
      actor: { id: reader, role: 'reader' },
      correlationId: 'c',
      causationId: null,
    }),
  );
  return { ...outcome, id, commandId };
}

async function accepted(outcome: Promise<CommandOutcome>): Promise<Accepted> {
  const answer = await outcome;
  if (answer.kind === 'rejected') throw new Error(`${answer.code}: ${answer.message}`);
  return answer;
}

/** Looks again and again, for `withinMs` at most. */
export async function until(what: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  for (const end = Date.now() + withinMs; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    if (await what()) return;
    if (Date.now() > end) throw new Error('waited in vain');
  }
}
