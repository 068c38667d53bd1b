import type { Engine } from '#lib/engine';
import { systemIds } from '#lib/platform';
import { derivedPlaythroughId, playthroughStream, type PlaythroughCommand } from '#lib/playthrough';
import type { Json } from '#lib/canonical';
import type { Player } from '../measure/drive.js';
import { choiceAt, compiledRooms } from '../story/room-story.js';

const actor = { id: 'r-abcdefghijklmnopqrstuvwxyz', role: 'reader' } as const;

/** A playthrough played over the engine's API; ids are made as the GraphQL API makes them. */
export class EnginePlayer implements Player {
  private readonly startId = `c:${systemIds.uuid()}`;
  readonly id = derivedPlaythroughId(actor.id, this.startId);
  /** Commands that were accepted. */
  version = 0;

  constructor(private engine: Engine) {}

  /** Plays on with another engine. */
  moveTo(engine: Engine): this {
    this.engine = engine;
    return this;
  }

  async next(turn: number): Promise<void> {
    if (turn === 0) await this.send({ type: 'start', storyId: 'rooms', versionHash: compiledRooms.hash, preview: false }, this.startId);
    else await this.send({ type: 'choose', choiceId: choiceAt(turn), turn: turn - 1 }, `c:${systemIds.uuid()}`);
  }

  private async send(command: PlaythroughCommand, commandId: string): Promise<void> {
    const outcome = await this.engine.execute({
      stream: playthroughStream(this.id),
      commandId,
      digestInput: command as unknown as Json,
      command,
      actor,
      correlationId: systemIds.hex(16),
      causationId: null,
    });
    if (outcome.kind !== 'accepted' || outcome.duplicate || outcome.version !== ++this.version) {
      throw new Error(`turn ${this.version}: ${JSON.stringify(outcome).slice(0, 300)}`);
    }
  }
}
