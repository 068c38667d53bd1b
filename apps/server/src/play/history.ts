import { FabulaError } from '#lib/platform';
import { playthroughEvents, type Change, type PlaythroughEvent, type SealedText } from '#lib/playthrough';
import { BadCursor, MAX_PAGE, type Page, type TurnView as TurnRow } from '#lib/projections';
import { upcast } from '#lib/decision';
import type { CompiledStory } from '#lib/story';
import type { FabulaNode } from '../node.js';
import { untilVisible } from './find-playthrough.js';
import type { PlaythroughView } from './playthrough-view.js';

/** Relay's connection. */
export interface Connection<Node> {
  readonly edges: readonly { readonly cursor: string; readonly node: Node }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

export interface TurnView {
  readonly turn: number;
  /** CHECKPOINT: only where bookmarks are asked for, in the support view. */
  readonly kind: 'STARTED' | 'CHOICE' | 'TIMED_OUT' | 'REWOUND' | 'FORKED' | 'CHECKPOINT';
  readonly passageId: string;
  readonly choiceId: string;
  readonly label: string;
  readonly at: number;
  readonly correlationId: string;
  readonly changes: readonly Change[];
}
export interface CheckpointView {
  readonly name: string | null;
  readonly turn: number;
}
export interface PageArguments {
  readonly first: number;
  readonly after?: string | null | undefined;
}

/** @throws FabulaError BAD_INPUT for a page over 100 or a cursor of another list */
export async function connectionOf<Row, Node>(
  page: PageArguments,
  read: (page: PageArguments) => Promise<Page<Row>>,
  node: (row: Row) => Node | Promise<Node>,
): Promise<Connection<Node>> {
  if (page.first < 1 || page.first > MAX_PAGE)
    throw new FabulaError('BAD_INPUT', `first is 1 to ${MAX_PAGE}`, { details: { field: 'first' } });
  let found: Page<Row>;
  try {
    found = await read(page);
  } catch (error) {
    if (error instanceof BadCursor) throw new FabulaError('BAD_INPUT', error.message, { details: { field: 'after' } });
    throw error;
  }
  const nodes = await Promise.all(found.rows.map(node));
  return {
    edges: nodes.map((value, index) => ({ cursor: found.cursors[index] as string, node: value })),
    pageInfo: { hasNextPage: found.hasNextPage, endCursor: found.cursors.at(-1) ?? null },
  };
}

/** Every turn of a playthrough, the latest first; waits until the turn that is shown is among them. */
export async function historyOf(node: FabulaNode, view: PlaythroughView, page: PageArguments): Promise<Connection<TurnView>> {
  await untilVisible(node, [view.position]);
  const read = async (request: PageArguments): Promise<Page<TurnRow>> =>
    (await node.reads.turns(view.id, { ...request, latestFirst: true })).value;
  return connectionOf(page, read, (row) => turnView(view.seen.story, row));
}

/** The reader's bookmarks with their names unsealed. */
export async function checkpointsOf(node: FabulaNode, view: PlaythroughView): Promise<readonly CheckpointView[]> {
  const { checkpoints, reader } = view.seen.state;
  return Promise.all(
    checkpoints.map(async ({ name, turn }) => ({ turn, name: await node.privacy.sealer.unseal(reader, name as SealedText) })),
  );
}

const KINDS: Readonly<Record<string, TurnView['kind']>> = {
  PlaythroughStarted: 'STARTED',
  ChoiceMade: 'CHOICE',
  TimedOut: 'TIMED_OUT',
  Rewound: 'REWOUND',
  WhatIfForked: 'FORKED',
  CheckpointSet: 'CHECKPOINT',
};

export function turnView(compiled: CompiledStory, row: TurnRow): TurnView {
  const event = upcast(row.events[0] as TurnRow['events'][number], playthroughEvents) as PlaythroughEvent;
  const changes = 'changes' in event ? event.changes.filter(({ name }) => compiled.story.variables[name]?.public === true) : [];
  return {
    turn: row.turn,
    kind: KINDS[row.kind] ?? 'CHOICE',
    passageId: row.passageId,
    choiceId: row.choiceId ?? '',
    label: labelOf(compiled, row),
    at: row.at,
    correlationId: row.correlationId,
    changes,
  };
}

/** The choice's words; a storylet is labelled with its own title. */
function labelOf(compiled: CompiledStory, { passageId, choiceId }: TurnRow): string {
  if (choiceId === null) return compiled.passage(passageId)?.passage.title ?? '';
  const storylet = choiceId.startsWith('storylet:') ? compiled.passage(choiceId.slice('storylet:'.length)) : undefined;
  return storylet?.passage.title ?? compiled.passage(passageId)?.choices.find(({ id }) => id === choiceId)?.label ?? choiceId;
}
