import { isMember, isVariableName, limits } from '#lib/story';
import { Untranslatable, type Assignment, type Foreign } from './foreign-expression.js';
import type { AuthorEffect } from './twee-body.js';
import type { AuthorVariable } from './twee-variables.js';

/*
 * Types of a foreign story's variables, from all assignments and uses, and its conditions and assignments in the guard language.
 * Variables that are assigned from or compared with one another form a group of one type.
 */

type Type = 'bool' | 'int' | 'enum';

interface Group {
  readonly types: Set<Type>;
  /** Used as a condition by itself: a bool if nothing says otherwise. */
  truth: boolean;
  readonly strings: Set<string>;
  readonly ints: Set<number>;
  /** Some number in it is calculated: its bounds are unknown. */
  calculated: boolean;
  /** Something in it was assigned what cannot be translated; the types found hold all the same. */
  assigned: boolean;
}

const WIDE = 1_000_000;
/** First value of an enum that the story gives none at the start; also what an empty text becomes. */
const UNSET = 'unset';
const NO_TYPE = 'what kind of value it holds is not known';
const HAND = 'Declare the variable and write the condition or effect by hand.';

export class ForeignVariables {
  private readonly parent = new Map<string, string>();
  private readonly groups = new Map<string, Group>();
  private readonly defaults = new Map<string, Foreign>();

  constructor(private readonly targetOf: (passage: string) => string) {}

  /** First pass: what an assignment says about types. */
  learnAssignment({ variable, value }: Assignment): void {
    const group = this.group(variable);
    group.assigned = true;
    this.learn(value, variable);
  }

  learnDefault({ variable, value }: Assignment): void {
    this.learnAssignment({ variable, value });
    this.defaults.set(variable, value);
  }

  learnCondition(condition: Foreign): void {
    if (condition.kind === 'var') this.group(condition.name).truth = true;
    else this.learn(condition);
  }

  private learn(value: Foreign, into?: string): void {
    const note = (type: Type): void => void (into !== undefined && this.group(into).types.add(type));
    switch (value.kind) {
      case 'bool':
        return note('bool');
      case 'int':
        note('int');
        if (into !== undefined) this.group(into).ints.add(value.value);
        return;
      case 'string':
        note('enum');
        if (into !== undefined) this.group(into).strings.add(value.value);
        return;
      case 'var':
        if (into !== undefined) this.unite(into, value.name);
        else this.group(value.name);
        return;
      case 'random':
        note('int');
        if (into !== undefined) for (const bound of [value.min, value.max]) this.group(into).ints.add(bound);
        return;
      case 'either':
        return value.values.forEach((one) => this.learn(one, into));
      case 'choose':
        this.learnCondition(value.if);
        this.learn(value.then, into);
        return this.learn(value.else, into);
      case 'not':
        note('bool');
        return this.learnCondition(value.of);
      case 'neg':
      case 'visits':
      case 'turns':
        note('int');
        if (into !== undefined) this.group(into).calculated = true;
        if (value.kind === 'neg') this.learnNumber(value.of);
        return;
      case 'binary':
        return this.learnBinary(value, note, into);
    }
  }

  private learnBinary(value: Extract<Foreign, { kind: 'binary' }>, note: (type: Type) => void, into: string | undefined): void {
    const { op, left, right } = value;
    if (op === '&&' || op === '||') {
      note('bool');
      this.learnCondition(left);
      this.learnCondition(right);
    } else if (op === '==' || op === '!=') {
      note('bool');
      if (left.kind === 'var') this.learnComparison(left.name, right);
      else if (right.kind === 'var') this.learnComparison(right.name, left);
      else for (const side of [left, right]) this.learn(side);
    } else {
      const comparison = op === '<' || op === '<=' || op === '>' || op === '>=';
      // `+` with a text in it joins texts.
      const text = op === '+' && [left, right].some((side) => side.kind === 'string');
      note(comparison ? 'bool' : text ? 'enum' : 'int');
      if (!comparison && into !== undefined) this.group(into).calculated = true;
      for (const side of [left, right]) this.learnNumber(side);
    }
  }

  /** Compared numbers tell the type, but not what the variable can be. */
  private learnComparison(name: string, other: Foreign): void {
    if (other.kind === 'int') this.group(name).types.add('int');
    else this.learn(other, name);
  }

  private learnNumber(value: Foreign): void {
    if (value.kind === 'var') this.group(value.name).types.add('int');
    else this.learn(value);
  }

  private root(name: string): string {
    let root = name;
    for (let up = this.parent.get(root); up !== undefined; up = this.parent.get(root)) root = up;
    // Shorten the way for the next time, or long chains of assignments would cost their square.
    for (let at = name; at !== root;) {
      const up = this.parent.get(at) ?? root;
      this.parent.set(at, root);
      at = up;
    }
    return root;
  }

  private group(name: string): Group {
    const root = this.root(name);
    let group = this.groups.get(root);
    if (group === undefined) {
      group = { types: new Set(), truth: false, strings: new Set(), ints: new Set(), calculated: false, assigned: false };
      this.groups.set(root, group);
    }
    return group;
  }

  private unite(one: string, other: string): void {
    const [into, from] = [this.group(one), this.group(other)];
    if (into === from) return;
    for (const type of from.types) into.types.add(type);
    for (const text of from.strings) into.strings.add(text);
    for (const int of from.ints) into.ints.add(int);
    into.truth ||= from.truth;
    into.calculated ||= from.calculated;
    into.assigned ||= from.assigned;
    this.groups.delete(this.root(other));
    this.parent.set(this.root(other), this.root(one));
  }

  /** @throws Untranslatable if the variable cannot be declared. */
  typeOf(name: string): Type {
    const group = this.group(name);
    if (this.parent.size + this.groups.size > limits.variables)
      throw new Untranslatable(`the story has more than ${limits.variables} variables`, 'Split the story, or use fewer variables.');
    const [type, ...others] = group.types;
    if (others.length > 0) throw new Untranslatable(`${name} is used for values of different kinds`, 'Use one variable for each kind.');
    const found = type ?? (group.truth && group.assigned ? 'bool' : undefined);
    if (found === undefined) throw new Untranslatable(`${name}: ${NO_TYPE}`, HAND);
    if (found === 'enum') {
      const values = this.values(name);
      if (values.length > limits.members || !values.every(isMember))
        throw new Untranslatable(`${name} holds free text`, 'A variable holds one of a few words; longer text belongs into passages.');
    }
    return found;
  }

  private values(name: string): readonly string[] {
    const group = this.group(name);
    const given = [...group.strings].filter((text) => text !== '');
    return this.needsUnset(name) ? [UNSET, ...given.filter((text) => text !== UNSET)] : given;
  }

  private needsUnset(name: string): boolean {
    const root = this.root(name);
    const members = [...this.parent.keys(), root].filter((other) => this.root(other) === root);
    return this.group(name).strings.has('') || members.some((member) => this.defaults.get(member)?.kind !== 'string');
  }

  /** Name in the story: `$gold` → gold, `_i` stays. */
  nameOf(variable: string): string {
    const name = variable.startsWith('$') ? variable.slice(1) : variable;
    return isVariableName(name) ? name : `v_${name}`.slice(0, 64);
  }

  /** Declarations of all variables whose type is known. */
  declarations(): { readonly [name: string]: AuthorVariable } {
    const variables: { [name: string]: AuthorVariable } = {};
    for (const variable of new Set([...this.parent.keys(), ...this.groups.keys()])) {
      try {
        variables[this.nameOf(variable)] = this.declaration(variable);
      } catch (error) {
        // Every use of the variable is reported where it stands.
        if (!(error instanceof Untranslatable)) throw error;
      }
    }
    return variables;
  }

  private declaration(variable: string): AuthorVariable {
    const type = this.typeOf(variable);
    const given = this.defaults.get(variable);
    if (type === 'bool') return { type, default: given?.kind === 'bool' ? given.value : false };
    if (type === 'enum') {
      const start = given?.kind === 'string' ? this.memberOf(given.value) : UNSET;
      return { type, values: this.values(variable), default: start };
    }
    const { min, max } = this.bounds(variable);
    return { type, min, max, default: given?.kind === 'int' ? given.value : 0 };
  }

  private bounds(variable: string): { readonly min: number; readonly max: number } {
    const { ints, calculated } = this.group(variable);
    const all = [0, ...ints, ...(calculated ? [-WIDE, WIDE] : [])];
    return all.reduce((range, value) => ({ min: Math.min(range.min, value), max: Math.max(range.max, value) }), { min: 0, max: 1 });
  }

  private memberOf(text: string): string {
    return text === '' ? UNSET : text;
  }

  /** Text of a condition. @throws Untranslatable */
  condition(value: Foreign): string {
    return this.lower(value, 'bool');
  }

  private kindOf(value: Foreign): Type {
    switch (value.kind) {
      case 'bool':
      case 'not':
        return 'bool';
      case 'string':
        return 'enum';
      case 'var':
        return this.typeOf(value.name);
      case 'choose':
        return this.kindOf(value.then);
      case 'binary':
        return ['+', '-', '*', '%'].includes(value.op) ? 'int' : 'bool';
      default:
        return 'int';
    }
  }

  private lower(value: Foreign, wanted: Type): string {
    const kind = this.kindOf(value);
    if (kind !== wanted) {
      if (wanted !== 'bool') throw new Untranslatable(`a ${kind} stands where a ${wanted} is needed`, HAND);
      if (kind === 'int') return `(${this.lower(value, 'int')} != 0)`;
      if (value.kind !== 'var' || !this.values(value.name).includes(UNSET)) return 'true';
      return `(${this.nameOf(value.name)} != ${quoted(UNSET)})`;
    }
    switch (value.kind) {
      case 'bool':
        return String(value.value);
      case 'int':
        return String(value.value);
      case 'string':
        return quoted(this.memberOf(value.value));
      case 'var':
        return this.nameOf(value.name);
      case 'visits':
        return `visits(${quoted(this.targetOf(value.passage))})`;
      case 'turns':
        return '(turn + 1)';
      case 'random':
      case 'either':
        throw new Untranslatable('a random value stands inside a condition or calculation', 'Set a variable to it first.');
      case 'not':
        return `!${this.lower(value.of, 'bool')}`;
      case 'neg':
        return `(-${this.lower(value.of, 'int')})`;
      case 'choose':
        return `(${this.lower(value.if, 'bool')} ? ${this.lower(value.then, wanted)} : ${this.lower(value.else, wanted)})`;
      case 'binary': {
        const { op, left, right } = value;
        const type = op === '&&' || op === '||' ? 'bool' : op === '==' || op === '!=' ? this.comparedAs(left, right) : 'int';
        return `(${this.lower(left, type)} ${op} ${this.lower(right, type)})`;
      }
    }
  }

  private comparedAs(left: Foreign, right: Foreign): Type {
    const [one, other] = [this.kindOf(left), this.kindOf(right)];
    if (one !== other) throw new Untranslatable(`a ${one} is compared with a ${other}`, HAND);
    return one;
  }

  /** An assignment as an effect. @throws Untranslatable */
  effect({ variable, value }: Assignment): AuthorEffect {
    const type = this.typeOf(variable);
    const name = this.nameOf(variable);
    if (value.kind === 'random') {
      if (type !== 'int') throw new Untranslatable(`${variable} is no number`, HAND);
      return { draw: name, min: value.min, max: value.max };
    }
    if (value.kind === 'either') return this.drawOf(variable, name, type, value.values);
    if (value.kind === 'binary' && value.left.kind === 'var' && value.left.name === variable && type === 'int') {
      const by = value.op === '+' || value.op === '-' ? this.lower(value.right, 'int') : undefined;
      if (by !== undefined) return { add: name, by: value.op === '+' ? by : /^\d+$/.test(by) ? `-${by}` : `-(${by})` };
    }
    return { set: name, to: this.lower(value, type) };
  }

  /** A draw is even over all values of the variable, so these must be exactly the ones given. */
  private drawOf(variable: string, name: string, type: Type, values: readonly Foreign[]): AuthorEffect {
    const given = new Set(
      values.map((value) => (value.kind === 'string' ? this.memberOf(value.value) : 'value' in value ? value.value : undefined)),
    );
    const even = given.size === values.length;
    if (even && type === 'bool' && given.size === 2) return { draw: name };
    if (even && type === 'enum' && this.values(variable).length === given.size && this.values(variable).every((value) => given.has(value)))
      return { draw: name };
    if (even && type === 'int') {
      const ints = values.flatMap((value) => (value.kind === 'int' ? [value.value] : [])).sort((a, b) => a - b);
      const [min, max] = [ints[0], ints[ints.length - 1]];
      if (min !== undefined && max !== undefined && max - min === ints.length - 1) return { draw: name, min, max };
    }
    throw new Untranslatable(
      'the values are not exactly those of the variable, or not a row of numbers',
      'Draw a number and set the variable by it.',
    );
  }

  /** Text that shows a variable. @throws Untranslatable */
  shown(variable: string): string {
    this.typeOf(variable);
    return `{{${this.nameOf(variable)}}}`;
  }
}

const quoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;
