import { Kind, type DocumentNode, type FragmentDefinitionNode, type OperationDefinitionNode, type SelectionSetNode } from 'graphql';
import type { AccessTarget } from '#lib/audit';
import type { AccessTrail } from './access-trail.js';

const MAX_FIELDS = 12;
const MAX_TARGETS = 8;

interface Asked {
  readonly kinds: ReadonlySet<string>;
  readonly fields: Set<string>;
  readonly target: Record<string, string>;
  /** The first playthrough that is named, under whichever alias. */
  playthrough?: string;
}

/**
 * What a document asks for, as the access log names it: `query playthrough stories`, and the ids it names. Of several operations in one
 * document all are told: which of them runs, its sender says.
 */
export function describeOperation(trail: AccessTrail, document: DocumentNode, variables: Readonly<Record<string, unknown>>): void {
  const asked = askedOf(document, variables);
  const kinds = [...asked.kinds].toSorted();
  trail.action = [...kinds, ...[...asked.fields].toSorted().slice(0, MAX_FIELDS)].join(' ');
  trail.commands = kinds.length === 1 && kinds[0] === 'mutation';
  trail.target = asked.target as AccessTarget;
  const { playthrough } = asked;
  if (playthrough !== undefined && playthrough.length <= 180) trail.stream = `playthrough/${playthrough.replaceAll('\0', '')}`;
}

/** The fields that a document asks the schema's roots for, in whichever of its operations. */
export const rootFields = (document: DocumentNode): ReadonlySet<string> => askedOf(document, {}).fields;

function askedOf(document: DocumentNode, variables: Readonly<Record<string, unknown>>): Asked {
  const operations = document.definitions.filter((one): one is OperationDefinitionNode => one.kind === Kind.OPERATION_DEFINITION);
  const fragments = new Map(
    document.definitions.flatMap((one) => (one.kind === Kind.FRAGMENT_DEFINITION ? [[one.name.value, one] as const] : [])),
  );
  const asked: Asked = { kinds: new Set(operations.map(({ operation }) => operation)), fields: new Set(), target: {} };
  for (const { selectionSet, variableDefinitions = [] } of operations) {
    const defaults = variableDefinitions.flatMap(({ variable, defaultValue }) =>
      defaultValue?.kind === Kind.STRING ? [[variable.name.value, defaultValue.value] as const] : [],
    );
    // As GraphQL has it: a default counts where nothing was sent, not where null was.
    collect(selectionSet, fragments, { ...Object.fromEntries(defaults), ...sent(variables) }, asked, new Set());
  }
  return asked;
}

function collect(
  selections: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  variables: Readonly<Record<string, unknown>>,
  asked: Asked,
  seen: Set<string>,
): void {
  for (const selection of selections.selections) {
    if (selection.kind === Kind.INLINE_FRAGMENT) collect(selection.selectionSet, fragments, variables, asked, seen);
    else if (selection.kind === Kind.FRAGMENT_SPREAD) {
      const name = selection.name.value;
      const fragment = fragments.get(name);
      if (fragment === undefined || seen.has(name)) continue;
      seen.add(name);
      collect(fragment.selectionSet, fragments, variables, asked, seen);
    } else {
      const field = selection.name.value;
      // One field asked for under several aliases is as many accesses.
      const place = selection.alias === undefined ? field : `${field} as ${selection.alias.value}`;
      asked.fields.add(field);
      for (const { name, value } of selection.arguments ?? []) {
        const given = value.kind === Kind.STRING ? value.value : value.kind === Kind.VARIABLE ? variables[value.name.value] : undefined;
        const isId = name.value === 'id' || name.value === 'storyId';
        if (!isId || typeof given !== 'string') continue;
        if (name.value === 'id' && (field === 'playthrough' || field === 'playthroughChanged')) asked.playthrough ??= given;
        if (Object.keys(asked.target).length < MAX_TARGETS) asked.target[unused(asked.target, `${place}.${name.value}`, given)] = given;
      }
    }
  }
}

/** The same place in two operations or fragments of one document may name two things: neither overwrites the other. */
function unused(target: Readonly<Record<string, string>>, place: string, given: string): string {
  let free = place;
  for (let n = 2; Object.hasOwn(target, free) && target[free] !== given; n++) free = `${place} (${n})`;
  return free;
}

const sent = (variables: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined));
