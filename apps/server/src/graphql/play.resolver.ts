import { Args, Context, Mutation, Parent, ResolveField, Resolver, Subscription } from '@nestjs/graphql';
import { CommandBus } from '@nestjs/cqrs';
import type { RequestContext } from '../http/auth.js';
import { Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';
import { Choose, Fork, Rewind, SetCheckpoint, StartPlaythrough } from '../play/commands.js';
import type { PlaythroughResult, PlaythroughView } from '../play/playthrough-view.js';
import { followPlaythrough } from '../play/live-playthrough.js';
import { untilVisible } from '../play/find-playthrough.js';
import { checkpointsOf, historyOf, type CheckpointView, type Connection, type TurnView } from '../play/history.js';
import { storyView, type StoryView, versionView, type VersionView } from '../play/story-view.js';
import { live } from './live.js';

/** The reader's own actions, and what a playthrough shows beside its plain fields. */
@Resolver('Playthrough')
@Roles('reader', 'author')
export class PlayResolver {
  constructor(
    private readonly commands: CommandBus,
    private readonly node: FabulaNode,
  ) {}

  @Mutation()
  startPlaythrough(@Args('input') input: StartPlaythrough['input'], @Context() context: RequestContext): Promise<PlaythroughResult> {
    return this.commands.execute(new StartPlaythrough(input, context));
  }
  @Mutation()
  choose(@Args('input') input: Choose['input'], @Context() context: RequestContext): Promise<PlaythroughResult> {
    return this.commands.execute(new Choose(input, context));
  }
  @Mutation()
  rewind(@Args('input') input: Rewind['input'], @Context() context: RequestContext): Promise<PlaythroughResult> {
    return this.commands.execute(new Rewind(input, context));
  }
  @Mutation()
  fork(@Args('input') input: Fork['input'], @Context() context: RequestContext): Promise<PlaythroughResult> {
    return this.commands.execute(new Fork(input, context));
  }
  @Mutation()
  setCheckpoint(@Args('input') input: SetCheckpoint['input'], @Context() context: RequestContext): Promise<PlaythroughResult> {
    return this.commands.execute(new SetCheckpoint(input, context));
  }

  @Subscription('playthroughChanged', { resolve: (view: PlaythroughView) => view })
  playthroughChanged(@Args('id') id: string, @Context() context: RequestContext): AsyncIterableIterator<PlaythroughView> {
    return live((signal) => followPlaythrough(this.node, context, id, signal));
  }

  @ResolveField()
  story(@Parent() view: PlaythroughView): Promise<StoryView> {
    return storyView(this.node, view.seen.story);
  }
  @ResolveField()
  version(@Parent() view: PlaythroughView): Promise<VersionView> {
    return versionView(this.node, view.seen.state.storyId, view.seen.state.versionHash);
  }
  @ResolveField()
  history(@Parent() view: PlaythroughView, @Args() page: { first: number; after?: string | null }): Promise<Connection<TurnView>> {
    return historyOf(this.node, view, page);
  }
  @ResolveField()
  checkpoints(@Parent() view: PlaythroughView): Promise<readonly CheckpointView[]> {
    return checkpointsOf(this.node, view);
  }
  @ResolveField()
  async startedAt(@Parent() view: PlaythroughView): Promise<number | null> {
    if (view.seen.startedAt !== undefined) return view.seen.startedAt;
    await untilVisible(this.node, [view.position]);
    return (await this.node.reads.playthrough(view.id)).value?.startedAt ?? null;
  }
}
