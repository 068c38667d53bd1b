import { momentOf, type Moment, type PlaythroughState } from '#lib/playthrough';
import type { CompiledStory, Value } from '#lib/story';

/** A moment as GraphQL shows it. */
export interface MomentView {
  readonly passage: Moment['passage'];
  readonly choices: readonly {
    readonly id: string;
    readonly label: string;
    readonly enabled: boolean;
    readonly reason?: string;
    readonly kind: string;
  }[];
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
