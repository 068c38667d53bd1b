import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { Json } from '#lib/canonical';
import type { Actor } from '#lib/decision';
import { EngineFailure, type CommandRequest } from '#lib/engine';
import { FabulaError } from '#lib/platform';
import { derivedPlaythroughId, playthroughStream, type PlaythroughCommand, type PlaythroughState } from '#lib/playthrough';
import { SubjectForgotten } from '#lib/privacy';
import { requireRole, type Caller, type RequestContext } from '../http/auth.js';
import { beforeItsEffect } from '../http/database-outage.js';
import { FabulaNode } from '../node.js';
import { untilAllVisible, UUID } from './find-playthrough.js';
import { PlaythroughView, type PlaythroughResult } from './playthrough-view.js';

const MAX_ID = 200;
const MAX_CHECKPOINT_NAME = 200;

export class StartPlaythrough extends Command<PlaythroughResult> {
  constructor(
    readonly input: {
      readonly storyId: string;
      readonly commandId: string;
      readonly versionHash?: string | null;
      readonly seed?: string | null;
    },
    readonly context: RequestContext,
  ) {
    super();
  }
}
export class Choose extends Command<PlaythroughResult> {
  constructor(
    readonly input: { readonly playthroughId: string; readonly choiceId: string; readonly turn: number; readonly commandId: string },
    readonly context: RequestContext,
  ) {
    super();
  }
}
export class Rewind extends Command<PlaythroughResult> {
  constructor(
    readonly input: { readonly playthroughId: string; readonly toTurn: number; readonly turn: number; readonly commandId: string },
    readonly context: RequestContext,
  ) {
    super();
  }
}
export class Fork extends Command<PlaythroughResult> {
  constructor(
    readonly input: { readonly playthroughId: string; readonly atTurn: number; readonly commandId: string },
    readonly context: RequestContext,
  ) {
    super();
  }
}
export class SetCheckpoint extends Command<PlaythroughResult> {
  constructor(
    readonly input: { readonly playthroughId: string; readonly name: string; readonly turn: number; readonly commandId: string },
    readonly context: RequestContext,
  ) {
    super();
  }
}

@CommandHandler(StartPlaythrough)
export class StartPlaythroughHandler implements ICommandHandler<StartPlaythrough> {
  constructor(private readonly node: FabulaNode) {}

  async execute({ input, context }: StartPlaythrough): Promise<PlaythroughResult> {
    const asAuthor = input.versionHash != null || input.seed != null;
    const caller = asAuthor ? requireRole(context.caller, 'author') : requireRole(context.caller, 'reader', 'author');
    const commandId = clientCommandId(input.commandId);
    const storyId = plainText('storyId', input.storyId, MAX_ID);
    const id = derivedPlaythroughId(caller.actor, commandId);
    const versionHash = await beforeItsEffect(this.versionOf(id, storyId, input.versionHash ?? undefined));
    const seed = input.seed == null ? {} : { seed: plainText('seed', input.seed, MAX_ID) };
    return play(this.node, context, caller, {
      id,
      commandId,
      // What the caller sent, not what it was resolved to: a retry after a new version was published is still the same command.
      asked: { type: 'start', storyId, versionHash: input.versionHash ?? null, seed: input.seed ?? null },
      command: { type: 'start', storyId, versionHash, preview: asAuthor, ...seed },
    });
  }

  /** A retry finds its playthrough although the story was retired since: what was accepted stays accepted. */
  private async versionOf(id: string, storyId: string, wanted: string | undefined): Promise<string> {
    try {
      return await this.node.stories.startVersion(storyId, wanted);
    } catch (error) {
      if (!(error instanceof FabulaError)) throw error;
      const begun = (await this.begunOn(id)) ?? (await this.begunLately(id));
      if (begun === undefined) throw error;
      return begun;
    }
  }

  private async begunOn(id: string): Promise<string | undefined> {
    return this.node.hot(id)?.versionHash ?? (await this.node.reads.playthrough(id)).value?.versionHash;
  }
  /** Its owner may be another process, and the read models a moment behind. */
  private async begunLately(id: string): Promise<string | undefined> {
    await untilAllVisible(this.node, id);
    return this.begunOn(id);
  }
}

@CommandHandler(Choose)
export class ChooseHandler implements ICommandHandler<Choose> {
  constructor(private readonly node: FabulaNode) {}

  execute({ input, context }: Choose): Promise<PlaythroughResult> {
    const command = { type: 'choose', choiceId: plainText('choiceId', input.choiceId, MAX_ID), turn: input.turn } as const;
    return playOwn(this.node, context, input, command, { ...command });
  }
}

@CommandHandler(Rewind)
export class RewindHandler implements ICommandHandler<Rewind> {
  constructor(private readonly node: FabulaNode) {}

  execute({ input, context }: Rewind): Promise<PlaythroughResult> {
    const command = { type: 'rewind', toTurn: input.toTurn, turn: input.turn } as const;
    return playOwn(this.node, context, input, command, { ...command });
  }
}

@CommandHandler(Fork)
export class ForkHandler implements ICommandHandler<Fork> {
  constructor(private readonly node: FabulaNode) {}

  async execute({ input, context }: Fork): Promise<PlaythroughResult> {
    const caller = requireRole(context.caller, 'reader', 'author');
    const commandId = clientCommandId(input.commandId);
    const from = playthroughId(input.playthroughId);
    const command = { type: 'fork', from, atTurn: input.atTurn } as const;
    return play(this.node, context, caller, {
      id: derivedPlaythroughId(caller.actor, commandId),
      commandId,
      asked: { ...command },
      command,
    });
  }
}

@CommandHandler(SetCheckpoint)
export class SetCheckpointHandler implements ICommandHandler<SetCheckpoint> {
  constructor(private readonly node: FabulaNode) {}

  async execute({ input, context }: SetCheckpoint): Promise<PlaythroughResult> {
    const caller = requireRole(context.caller, 'reader', 'author');
    const name = plainText('name', input.name, MAX_CHECKPOINT_NAME);
    const { sealed, mark } = await beforeItsEffect(this.node.privacy.sealer.seal(caller.actor, name)).catch((error: unknown) => {
      // Forgotten while this was on its way: the same token is somebody new from now on, whose playthrough this is not.
      throw error instanceof SubjectForgotten ? notFound() : error;
    });
    const command = { type: 'setCheckpoint', checkpoint: { name: sealed, mark, turn: input.turn }, turn: input.turn } as const;
    // The digest must not hold the name, nor a plain hash of it: the mark is keyed and says nothing once the key is gone.
    return playOwn(this.node, context, input, command, { type: 'setCheckpoint', mark, turn: input.turn });
  }
}

export const playCommandHandlers = [StartPlaythroughHandler, ChooseHandler, RewindHandler, ForkHandler, SetCheckpointHandler];

function playOwn(
  node: FabulaNode,
  context: RequestContext,
  input: { readonly playthroughId: string; readonly commandId: string },
  command: PlaythroughCommand,
  asked: Json,
): Promise<PlaythroughResult> {
  const caller = requireRole(context.caller, 'reader', 'author');
  return play(node, context, caller, {
    id: playthroughId(input.playthroughId),
    commandId: clientCommandId(input.commandId),
    asked,
    command,
  });
}

interface Play {
  readonly id: string;
  readonly commandId: string;
  readonly asked: Json;
  readonly command: PlaythroughCommand;
}

async function play(
  node: FabulaNode,
  context: RequestContext,
  caller: Caller,
  { id, commandId, asked, command }: Play,
): Promise<PlaythroughResult> {
  const actor: Actor = { id: caller.actor, role: caller.roles.has('reader') ? 'reader' : 'author' };
  const request: CommandRequest = {
    stream: playthroughStream(id),
    commandId,
    digestInput: asked,
    command,
    actor,
    correlationId: context.correlationId,
    causationId: null,
    ...(context.trace !== undefined && { headers: context.trace }),
  };
  const outcome = await node.execute(request).catch(async (error: unknown) => {
    // A head knows commandIds, not readers: who guesses one of somebody else's learns nothing from it.
    if (error instanceof EngineFailure && error.code === 'COMMAND_REUSED' && !(await mayKnowOf(node, caller, id))) throw notFound();
    throw error;
  });
  if (outcome.kind === 'rejected') throw await node.rejection(outcome, caller);
  const { duplicate, turn, partition, offset } = outcome;
  const view = await PlaythroughView.of(node, outcome.state as PlaythroughState, partition, offset);
  return { playthrough: view, position: node.positionToken(partition, offset), turn, duplicate, correlationId: context.correlationId };
}

async function mayKnowOf(node: FabulaNode, caller: Caller, id: string): Promise<boolean> {
  const reader = node.hot(id)?.reader ?? (await node.reads.playthrough(id)).value?.reader;
  return reader === undefined || reader === caller.actor;
}

const notFound = (): FabulaError => new FabulaError('PLAYTHROUGH_NOT_FOUND', 'There is no such playthrough of yours.');

function clientCommandId(given: string): string {
  if (!UUID.test(given))
    throw new FabulaError('BAD_INPUT', 'commandId is not a UUID: make a new one for each new command', { details: { field: 'commandId' } });
  return `c:${given.toLowerCase()}`;
}

function playthroughId(given: string): string {
  // A malformed id names nothing: the same answer as for an unknown one, or for somebody else's.
  if (!UUID.test(given)) throw notFound();
  return given.toLowerCase();
}

/** @throws FabulaError BAD_INPUT for empty, over-long, ill-formed text and for U+0000. */
export function plainText(field: string, given: string, longest: number): string {
  const fine = given.length > 0 && given.length <= longest && given.isWellFormed() && !given.includes('\u0000');
  if (!fine) throw new FabulaError('BAD_INPUT', `${field} is 1 to ${longest} characters of well-formed text`, { details: { field } });
  return given;
}
