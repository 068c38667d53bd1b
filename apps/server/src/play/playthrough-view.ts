import type { Offset } from '#lib/log';
import type { PlaythroughState } from '#lib/playthrough';
import type { CompiledStory } from '#lib/story';
import type { FabulaNode } from '../node.js';
import { momentView, type MomentView } from './moment-view.js';

export interface PlaythroughResult {
  readonly playthrough: PlaythroughView;
  readonly position: string;
  readonly turn: number;
  readonly duplicate: boolean;
  readonly correlationId: string;
}

interface Seen {
  readonly state: PlaythroughState;
  readonly story: CompiledStory;
  readonly partition: number;
  /** Offset of the newest record that this view is known to include. */
  readonly asOf: Offset;
  /** Undefined: not known from where this view came. */
  readonly startedAt?: number | null;
}

/** A playthrough as GraphQL shows it: its plain fields; history, checkpoints and story are resolved when asked for. */
export class PlaythroughView {
  readonly id: string;
  readonly turn: number;
  readonly status: 'ACTIVE' | 'ENDED';
  readonly stateHash: string;
  readonly position: string;
  readonly forkedFrom: { readonly playthroughId: string; readonly turn: number } | null;
  private shown: MomentView | undefined;

  private constructor(
    readonly seen: Seen,
    node: FabulaNode,
  ) {
    const { state, partition, asOf } = seen;
    this.id = state.id;
    this.turn = state.turn;
    this.status = state.status === 'ended' ? 'ENDED' : 'ACTIVE';
    this.stateHash = node.stateHash(state);
    this.position = node.positionToken(partition, asOf);
    this.forkedFrom = state.forkedFrom;
  }

  /** Text and offers, rendered once and only if asked for. */
  get moment(): MomentView {
    return (this.shown ??= momentView(this.seen.story, this.seen.state));
  }

  static async of(
    node: FabulaNode,
    state: PlaythroughState,
    partition: number,
    asOf: Offset,
    startedAt?: number | null,
  ): Promise<PlaythroughView> {
    const story = await node.content(state.versionHash);
    return new PlaythroughView(
      { state, story, partition, asOf: Math.max(asOf, 0), ...(startedAt === undefined ? {} : { startedAt }) },
      node,
    );
  }
}
