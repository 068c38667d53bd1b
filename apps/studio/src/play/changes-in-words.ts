import type { VariableChange, VariableView } from '../api/playthrough-types.js';

export interface ChangeInWords {
  readonly label: string;
  readonly words: string;
}

const isList = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every((member) => typeof member === 'string');

/** A variable's value for readers. */
export function valueInWords(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (isList(value)) return value.length === 0 ? 'nothing' : value.join(', ');
  return String(value);
}

/** What a turn changed: members of sets come and go one by one, numbers show how far they moved. */
export function changesInWords(changes: readonly VariableChange[], variables: readonly VariableView[]): readonly ChangeInWords[] {
  return changes.map(({ name, from, to }) => {
    const label = variables.find((variable) => variable.name === name)?.label ?? name;
    if (isList(from) && isList(to)) {
      const came = to.filter((member) => !from.includes(member)).map((member) => `+ ${member}`);
      const went = from.filter((member) => !to.includes(member)).map((member) => `− ${member}`);
      return { label, words: [...came, ...went].join(', ') };
    }
    return { label, words: `${valueInWords(from)} → ${valueInWords(to)}` };
  });
}
