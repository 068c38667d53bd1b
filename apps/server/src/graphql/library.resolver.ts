import { Args, Context, Query, Resolver } from '@nestjs/graphql';
import { QueryBus } from '@nestjs/cqrs';
import type { RequestContext } from '../http/auth.js';
import { Roles } from '../http/roles.js';
import type { Connection } from '../play/history.js';
import type { PlaythroughView } from '../play/playthrough-view.js';
import { FindPlaythrough, FindStory, ListMyPlaythroughs, ListStories } from '../play/queries.js';
import type { StoryView } from '../play/story-view.js';

interface Page {
  readonly first: number;
  readonly after?: string | null;
}

/** What a reader can look up. */
@Resolver()
@Roles('reader', 'author')
export class LibraryResolver {
  constructor(private readonly queries: QueryBus) {}

  @Query()
  stories(@Args() page: Page, @Context() context: RequestContext): Promise<Connection<StoryView>> {
    return this.queries.execute(new ListStories(page, context));
  }
  @Query()
  story(@Args('id') id: string, @Context() context: RequestContext): Promise<StoryView | null> {
    return this.queries.execute(new FindStory(id, context));
  }
  @Query()
  playthrough(
    @Args('id') id: string,
    @Args('minPosition') minPosition: readonly string[] | null | undefined,
    @Context() context: RequestContext,
  ): Promise<PlaythroughView | null> {
    return this.queries.execute(new FindPlaythrough(id, minPosition, context));
  }
  @Query()
  myPlaythroughs(
    @Args() page: Page & { readonly storyId?: string | null; readonly minPosition?: readonly string[] | null },
    @Context() context: RequestContext,
  ): Promise<Connection<PlaythroughView>> {
    return this.queries.execute(new ListMyPlaythroughs(page, context));
  }
}
