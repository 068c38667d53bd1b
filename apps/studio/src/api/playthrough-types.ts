/* What the player asks of schema.graphql, as it comes over the wire. */

export interface Offer {
  readonly id: string;
  readonly label: string;
  readonly enabled: boolean;
  readonly reason: string | null;
  readonly kind: 'NORMAL' | 'FALLBACK' | 'STORYLET';
}
export interface VariableView {
  readonly name: string;
  readonly label: string;
  readonly value: unknown;
}
export interface Moment {
  readonly passage: { readonly id: string; readonly title: string; readonly text: string; readonly tags: readonly string[] };
  readonly choices: readonly Offer[];
  readonly deadline: string | null;
  readonly ending: string | null;
  readonly endingTitle: string | null;
  readonly variables: readonly VariableView[];
}
export interface VariableChange {
  readonly name: string;
  readonly from: unknown;
  readonly to: unknown;
}
export interface Turn {
  readonly turn: number;
  readonly kind: 'STARTED' | 'CHOICE' | 'TIMED_OUT' | 'REWOUND' | 'FORKED';
  readonly passageId: string;
  readonly choiceId: string;
  readonly label: string;
  readonly at: string;
  readonly changes: readonly VariableChange[];
}
export interface Checkpoint {
  readonly name: string | null;
  readonly turn: number;
}
export interface StorySummary {
  readonly id: string;
  readonly title: string;
  readonly author: string | null;
  readonly description: string | null;
  readonly language: string;
}
export interface Playthrough {
  readonly id: string;
  readonly story: StorySummary;
  readonly status: 'ACTIVE' | 'ENDED';
  readonly turn: number;
  readonly moment: Moment;
  readonly checkpoints: readonly Checkpoint[];
  readonly forkedFrom: { readonly playthroughId: string; readonly turn: number } | null;
  readonly position: string;
}
/** A playthrough as the list of those begun shows it. */
export interface BegunPlaythrough {
  readonly id: string;
  readonly status: 'ACTIVE' | 'ENDED';
  readonly turn: number;
  readonly story: { readonly id: string; readonly title: string };
  readonly moment: { readonly endingTitle: string | null; readonly passage: { readonly title: string } };
  readonly forkedFrom: { readonly turn: number } | null;
}
export interface Page<Node> {
  readonly edges: readonly { readonly node: Node }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}
