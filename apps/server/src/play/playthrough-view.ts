import type { Offset } from '#lib/log';
import { momentOf, type Moment, type PlaythroughState } from '#lib/playthrough';
import type { CompiledStory, Value } from '#lib/story';
import type { FabulaNode } from '../node.js';

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
  /** Next offset after the last record that this view includes. */
  readonly asOf: Offset;
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

  static async of(node: FabulaNode, state: PlaythroughState, partition: number, asOf: Offset): Promise<PlaythroughView> {
    return new PlaythroughView({ state, story: await node.content(state.versionHash), partition, asOf }, node);
  }
}

export interface MomentView {
  readonly passage: Moment['passage'];
  readonly choices: readonly { readonly id: string; readonly label: string; readonly enabled: boolean; readonly reason?: string; readonly kind: string }[];
  readonly deadline: number | null;
  readonly ending: string | null;
  readonly endingTitle: string | null;
  readonly variables: readonly { readonly name: string; readonly label: string; readonly value: Value }[];
}

export function momentView(compiled: CompiledStory, state: PlaythroughState): MomentView {
  const { passage, offers, deadline, ending } = momentOf(compiled, state);
  const { story } = compiled;
  return {
    passage,
    choices: offers.map((offer) => ({ ...offer, kind: offer.kind.toUpperCase() })),
    deadline,
    ending,
    endingTitle: ending === null ? null : (story.endings[ending]?.title ?? null),
    variables: Object.entries(story.variables)
      .filter(([, variable]) => variable.public)
      .map(([name, variable]) => ({ name, label: variable.label ?? name, value: state.narrative.variables[name] ?? variable.default })),
  };
}
