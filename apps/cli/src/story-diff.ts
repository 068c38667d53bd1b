import { canonicalJson, type Json } from '#lib/canonical';
import { authorForm, type Story } from '#lib/story';

type Fields = { readonly [field: string]: Json };

/** One field that reads differently; absent on a side where it is not written. */
export interface FieldChange {
  readonly field: string;
  readonly before?: Json;
  readonly after?: Json;
}
export interface Changed {
  readonly id: string;
  readonly changes: readonly FieldChange[];
}
export interface SetDiff {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly Changed[];
}
export interface StoryDiff {
  readonly story: readonly FieldChange[];
  readonly variables: SetDiff;
  readonly endings: SetDiff;
  readonly passages: SetDiff;
  /** By `passage/choice`; choices of passages that came or went stand there too. */
  readonly choices: SetDiff;
}

const PARTS = ['variables', 'endings', 'passages'] as const;

/** What differs between two stories in the native author form: guards as text, defaults left out. The order of choices counts as the passage's. */
export function diffStories(before: Story, after: Story): StoryDiff {
  const [left, right] = [authorForm(before), authorForm(after)];
  const outer = (form: Fields): Fields => without(form, PARTS);
  const [leftPassages, rightPassages] = [mapOf(left['passages']), mapOf(right['passages'])];
  return {
    story: fieldChanges(outer(left), outer(right)),
    variables: diffMaps(mapOf(left['variables']), mapOf(right['variables'])),
    endings: diffMaps(mapOf(left['endings']), mapOf(right['endings'])),
    passages: diffMaps(withoutChoices(leftPassages), withoutChoices(rightPassages)),
    choices: diffMaps(choicesOf(leftPassages), choicesOf(rightPassages)),
  };
}

export const isSame = (diff: StoryDiff): boolean =>
  diff.story.length === 0 &&
  [diff.variables, diff.endings, diff.passages, diff.choices].every(
    (part) => part.added.length + part.removed.length + part.changed.length === 0,
  );

type Forms = ReadonlyMap<string, Fields>;

const mapOf = (form: Json | undefined): Forms => new Map(Object.entries((form ?? {}) as { readonly [id: string]: Fields }));
const choiceList = (passage: Fields): readonly Fields[] => (passage['choices'] ?? []) as readonly Fields[];
const idOf = (choice: Fields): string => String(choice['id']);

/** In place of its choices a passage keeps their order, so that moving one is seen. */
const withoutChoices = (passages: Forms): Forms =>
  new Map(
    [...passages].map(([id, passage]) => [id, { ...without(passage, ['choices']), 'order of choices': choiceList(passage).map(idOf) }]),
  );

const choicesOf = (passages: Forms): Forms =>
  new Map(
    [...passages].flatMap(([id, passage]) =>
      choiceList(passage).map((choice) => [`${id}/${idOf(choice)}`, without(choice, ['id'])] as const),
    ),
  );

function diffMaps(before: Forms, after: Forms): SetDiff {
  const changed: Changed[] = [];
  for (const [id, form] of before) {
    const other = after.get(id);
    const changes = other === undefined ? [] : fieldChanges(form, other);
    if (changes.length > 0) changed.push({ id, changes });
  }
  return { added: [...after.keys()].filter((id) => !before.has(id)), removed: [...before.keys()].filter((id) => !after.has(id)), changed };
}

function fieldChanges(before: Fields, after: Fields): FieldChange[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const changes: FieldChange[] = [];
  for (const field of names) {
    const [was, is] = [before[field], after[field]];
    if (was !== undefined && is !== undefined && canonicalJson(was) === canonicalJson(is)) continue;
    changes.push({ field, ...(was === undefined ? {} : { before: was }), ...(is === undefined ? {} : { after: is }) });
  }
  return onlyReordered(changes) ?? changes;
}

/** Choices that came or went say so themselves; only another order of the same ones is the passage's own change. */
function onlyReordered(changes: readonly FieldChange[]): FieldChange[] | undefined {
  const order = changes.find(({ field }) => field === 'order of choices');
  if (order === undefined) return undefined;
  const [was, is] = [order.before, order.after].map((list) => (list ?? []) as readonly string[]) as [readonly string[], readonly string[]];
  const kept = (list: readonly string[], other: readonly string[]): string => list.filter((id) => other.includes(id)).join('\n');
  return kept(was, is) === kept(is, was) ? changes.filter((change) => change !== order) : undefined;
}

const without = (form: Fields, names: readonly string[]): Fields =>
  Object.fromEntries(Object.entries(form).filter(([name]) => !names.includes(name)));
