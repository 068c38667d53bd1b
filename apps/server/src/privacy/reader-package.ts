import type { Pool } from 'pg';
import { listAccess, type AccessEntry, type AccessKey } from '#lib/audit';
import { upcast } from '#lib/decision';
import { systemClock } from '#lib/platform';
import { playthroughEvents, playthroughStream, type PlaythroughEvent, type SealedText } from '#lib/playthrough';
import { MAX_PAGE, type Page, type PlaythroughSummary, type TurnView } from '#lib/projections';
import type { CompiledStory } from '#lib/story';
import type { FabulaNode } from '../node.js';

/** What stands at the head of a package: whose it is, as of when, and what Article 15(1) asks for besides the data. */
export interface PackageHead {
  readonly pseudonym: string;
  readonly generatedAt: string;
  readonly purposes: string;
  readonly recipients: readonly string[];
  readonly retention: readonly RetentionRule[];
  readonly retentionText: string;
  readonly source: string;
  readonly rights: string;
}
export interface RetentionRule {
  readonly retention: string;
  readonly purpose: string;
  readonly keepDays: number | null;
}
export interface PackagePlaythrough {
  readonly id: string;
  readonly story: string;
  readonly storyId: string;
  readonly storyVersion: string;
  readonly status: string;
  readonly ending: string | null;
  readonly startedAt: string | null;
  readonly lastAt: string;
  readonly forkedFrom: { readonly playthrough: string; readonly turn: number } | null;
}
export interface PackageCheckpoint {
  readonly turn: number;
  readonly at: string;
  /** Null: the key was destroyed. */
  readonly name: string | null;
}
export interface PackageTurn {
  readonly turn: number;
  readonly at: string;
  readonly what: string;
  readonly passage: string;
  readonly choice: string | null;
  /** Variables that this turn changed, as recorded. */
  readonly changes: unknown;
}
export interface PackageAccess {
  readonly at: string;
  readonly by: string;
  readonly action: string;
}

/** A package in pieces, so that it is written while it is read: one playthrough after the other, each with its own. */
export type PackagePart =
  | { readonly kind: 'head'; readonly value: PackageHead }
  | { readonly kind: 'playthrough'; readonly value: PackagePlaythrough }
  | { readonly kind: 'checkpoint'; readonly value: PackageCheckpoint }
  | { readonly kind: 'turn'; readonly value: PackageTurn }
  | { readonly kind: 'access'; readonly value: PackageAccess }
  | { readonly kind: 'end' };

/** Everything that is held about one reader (GDPR Article 15), a page of the database at a time and nothing of it on disk. */
export async function* readerPackage(node: FabulaNode, pseudonym: string): AsyncGenerator<PackagePart> {
  yield { kind: 'head', value: await head(node, pseudonym) };
  for await (const row of pages((request) => node.reads.myPlaythroughs({ ...request, reader: pseudonym }))) {
    const compiled = await node.contents.get(row.versionHash);
    yield { kind: 'playthrough', value: playthroughOf(row, compiled) };
    for (const { name, turn, at } of (await node.reads.checkpoints(row.id)).value) {
      const sealed = JSON.parse(name) as SealedText;
      yield { kind: 'checkpoint', value: { turn, at: iso(at), name: await node.privacy.sealer.unseal(pseudonym, sealed) } };
    }
    for await (const turn of pages((request) => node.reads.turns(row.id, request))) yield { kind: 'turn', value: turnOf(turn, compiled) };
    for await (const entry of accessesTo(node.pool, playthroughStream(row.id))) yield { kind: 'access', value: accessOf(entry) };
  }
  yield { kind: 'end' };
}

async function head(node: FabulaNode, pseudonym: string): Promise<PackageHead> {
  const rules = (await node.retention.rules()).filter(({ mustEnd }) => mustEnd);
  return {
    pseudonym,
    generatedAt: iso(systemClock.now()),
    purposes: 'To let you play branching stories, to keep your place in them, and to prove afterwards what happened.',
    recipients: [
      'Staff, by role and only under the pseudonym: authors, operators, compliance, data protection officers. Each look is in the access log; those at your playthroughs are listed below.',
      'Whoever was handed an audit export: it holds pseudonyms and sealed texts, never their keys.',
      'Consumers of the public feed: it holds a mark per reader and story in place of the pseudonym, and no texts of readers.',
    ],
    retention: rules.map(({ name, purpose, keepDays }) => ({ retention: name, purpose, keepDays })),
    retentionText:
      'After that time what proves each of your turns may be deleted, once two persons decide so. The turns themselves stay when you are forgotten, but your key and the link between you and the pseudonym are destroyed: the names of your checkpoints become unreadable everywhere at once, and nothing that is kept here connects the rest with you.',
    source: 'You yourself, by playing; your identity from the issuer of your token. Of that identity only a keyed hash is stored.',
    rights: 'You may ask for erasure, and complain to a supervisory authority. Nothing here is decided about you automatically.',
  };
}

async function* pages<Row>(
  read: (request: { readonly first: number; readonly after: string | null }) => Promise<{ readonly value: Page<Row> }>,
): AsyncGenerator<Row> {
  for (let after: string | null = null; ;) {
    const { value }: { readonly value: Page<Row> } = await read({ first: MAX_PAGE, after });
    yield* value.rows;
    after = value.cursors.at(-1) ?? null;
    if (!value.hasNextPage || after === null) return;
  }
}

/** All of them, a page at a time: whoever looks often must not hide who looked before. */
export async function* accessesTo(pool: Pool, stream: string): AsyncGenerator<AccessEntry> {
  for (let after: AccessKey | undefined; ;) {
    const { entries, next } = await listAccess(pool, { stream, limit: MAX_PAGE, after });
    yield* entries;
    if (next === undefined) return;
    after = next;
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();

function playthroughOf(row: PlaythroughSummary, compiled: CompiledStory | undefined): PackagePlaythrough {
  const { forkedFromId, forkedFromTurn } = row;
  return {
    id: row.id,
    story: compiled?.story.title ?? row.storyId,
    storyId: row.storyId,
    storyVersion: row.versionHash,
    status: row.status,
    ending: row.ending,
    startedAt: row.startedAt === null ? null : iso(row.startedAt),
    lastAt: iso(row.updatedAt),
    forkedFrom: forkedFromId === null || forkedFromTurn === null ? null : { playthrough: forkedFromId, turn: forkedFromTurn },
  };
}

function turnOf(row: TurnView, compiled: CompiledStory | undefined): PackageTurn {
  const event = upcast(row.events[0] as TurnView['events'][number], playthroughEvents) as PlaythroughEvent;
  const passage = compiled?.passage(row.passageId);
  const label = passage?.choices.find(({ id }) => id === row.choiceId)?.label;
  return {
    turn: row.turn,
    at: iso(row.at),
    what: row.kind,
    passage: passage?.passage.title ?? row.passageId,
    choice: row.choiceId === null ? null : (label ?? row.choiceId),
    changes: 'changes' in event ? event.changes : [],
  };
}

const accessOf = ({ time, roles, action }: AccessEntry): PackageAccess => ({ at: time, by: roles.join(', '), action });

/** One JSON document, a piece at a time. */
export async function* packageJson(parts: AsyncIterable<PackagePart>): AsyncGenerator<string> {
  const lists = { checkpoint: 'checkpoints', turn: 'turns', access: 'accesses' } as const;
  let open: (typeof lists)[keyof typeof lists] | undefined;
  let playthroughs = 0;
  const close = (): string => {
    const ending = playthroughs === 0 ? '' : open === undefined ? '}' : ']}';
    open = undefined;
    return ending;
  };
  for await (const part of parts) {
    if (part.kind === 'head') yield `${JSON.stringify(part.value).slice(0, -1)},"playthroughs":[`;
    else if (part.kind === 'end') yield `${close()}]}\n`;
    else if (part.kind === 'playthrough') {
      yield `${close()}${playthroughs++ === 0 ? '\n' : ',\n'}${JSON.stringify(part.value).slice(0, -1)}`;
    } else {
      const list = lists[part.kind];
      const before = open === list ? ',' : `${open === undefined ? '' : ']'},"${list}":[`;
      open = list;
      yield `${before}${JSON.stringify(part.value)}`;
    }
  }
}
