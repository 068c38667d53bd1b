import { Query, QueryHandler, type IQueryHandler } from '@nestjs/cqrs';
import { FabulaError } from '#lib/platform';
import { requireRole, type RequestContext } from '../http/auth.js';
import { FabulaNode } from '../node.js';
import { findPlaythrough, untilVisible } from './find-playthrough.js';
import { connectionOf, type Connection, type PageArguments } from './history.js';
import { PlaythroughView } from './playthrough-view.js';
import { listedStory, type StoryView } from './story-view.js';

export class FindPlaythrough extends Query<PlaythroughView | null> {
  constructor(
    readonly id: string,
    readonly minPosition: readonly string[] | null | undefined,
    readonly context: RequestContext,
  ) {
    super();
  }
}
export class ListMyPlaythroughs extends Query<Connection<PlaythroughView>> {
  constructor(
    readonly page: PageArguments & { readonly storyId?: string | null; readonly minPosition?: readonly string[] | null },
    readonly context: RequestContext,
  ) {
    super();
  }
}
export class ListStories extends Query<Connection<StoryView>> {
  constructor(
    readonly page: PageArguments,
    readonly context: RequestContext,
  ) {
    super();
  }
}
export class FindStory extends Query<StoryView | null> {
  constructor(
    readonly id: string,
    readonly context: RequestContext,
  ) {
    super();
  }
}

@QueryHandler(FindPlaythrough)
export class FindPlaythroughHandler implements IQueryHandler<FindPlaythrough> {
  constructor(private readonly node: FabulaNode) {}

  async execute({ id, minPosition, context }: FindPlaythrough): Promise<PlaythroughView | null> {
    const caller = requireRole(context.caller, 'reader', 'author');
    await untilVisible(this.node, minPosition);
    return (await findPlaythrough(this.node, caller, id)) ?? null;
  }
}

@QueryHandler(ListMyPlaythroughs)
export class ListMyPlaythroughsHandler implements IQueryHandler<ListMyPlaythroughs> {
  constructor(private readonly node: FabulaNode) {}

  async execute({ page, context }: ListMyPlaythroughs): Promise<Connection<PlaythroughView>> {
    const caller = requireRole(context.caller, 'reader', 'author');
    await untilVisible(this.node, page.minPosition);
    const { edges, pageInfo } = await connectionOf(
      page,
      async (request) => (await this.node.reads.myPlaythroughs({ ...request, reader: caller.actor, storyId: page.storyId })).value,
      ({ id }) => findPlaythrough(this.node, caller, id).catch(unlessParked),
    );
    return { edges: edges.flatMap(({ cursor, node }) => (node === undefined ? [] : [{ cursor, node }])), pageInfo };
  }
}

@QueryHandler(ListStories)
export class ListStoriesHandler implements IQueryHandler<ListStories> {
  constructor(private readonly node: FabulaNode) {}

  execute({ page, context }: ListStories): Promise<Connection<StoryView>> {
    requireRole(context.caller, 'reader', 'author');
    return connectionOf(
      page,
      async (request) => (await this.node.reads.stories({ ...request, drafts: false })).value,
      (row) => listedStory(this.node, row),
    );
  }
}

@QueryHandler(FindStory)
export class FindStoryHandler implements IQueryHandler<FindStory> {
  constructor(private readonly node: FabulaNode) {}

  async execute({ id, context }: FindStory): Promise<StoryView | null> {
    const caller = requireRole(context.caller, 'reader', 'author');
    const { value } = await this.node.reads.story(id);
    if (value === undefined || (value.currentVersion === null && !caller.roles.has('author'))) return null;
    return listedStory(this.node, value);
  }
}

/** A playthrough that was parked since it was listed is left out: its own query says why. */
function unlessParked(error: unknown): undefined {
  if (error instanceof FabulaError && error.code === 'PLAYTHROUGH_PARKED') return undefined;
  throw error;
}

export const playQueryHandlers = [FindPlaythroughHandler, ListMyPlaythroughsHandler, ListStoriesHandler, FindStoryHandler];
