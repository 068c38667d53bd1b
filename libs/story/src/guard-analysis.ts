import { type Abstract, evaluateAbstract, int, type Leaf, leafOf, type Range } from './abstract-value.js';
import { walk } from './compile-expression.js';
import type { Expression } from './expression.js';

/** Combinations of values tried for one guard. */
export const MAX_CASES = 4_096;
/** Combinations tried for the values of one effect, which is looked at again whenever something it reads grows. */
const MAX_IMAGE_CASES = 64;

/** All values that something can have: for integers several ranges, sorted and apart. */
export type Domain = Exclude<Abstract, { kind: 'int' }> | { readonly kind: 'ints'; readonly ranges: readonly Range[] };

export interface GuardVerdict {
  readonly canBeTrue: boolean;
  /** False or failing. */
  readonly canBeOtherwise: boolean;
  /** In some case that was tried it is true, or otherwise, for all its values. */
  readonly surelyTrue: boolean;
  readonly surelyOtherwise: boolean;
}

/** Whether "can be" was shown by a case, not only left open; if not, a "never" or "always" may have been missed. */
export const isExact = (verdict: GuardVerdict): boolean =>
  verdict.canBeTrue === verdict.surelyTrue && verdict.canBeOtherwise === verdict.surelyOtherwise;

/** Tries guards over domains, case by case. `budget` bounds the parts evaluated for all questions together; after them only ranges are compared. */
export class GuardAnalysis {
  constructor(private left: number) {}

  /** Decides a guard. `enough` may stop the search as soon as it is known that the guard can be true. */
  decide(guard: Expression, domain: (leaf: Leaf) => Domain, enough: 'canBeTrue' | 'all' = 'all'): GuardVerdict {
    let [canBeTrue, canBeOtherwise, surelyTrue, surelyOtherwise] = [false, false, false, false];
    this.eachCase(guard, domain, MAX_CASES, (value, mayFail) => {
      if (value.kind !== 'bool') throw new TypeError('not checked: a guard is a bool');
      const otherwise = value.canBeFalse || mayFail || !value.canBeTrue;
      canBeTrue ||= value.canBeTrue;
      canBeOtherwise ||= otherwise;
      if (!otherwise) surelyTrue = true;
      if (!value.canBeTrue) surelyOtherwise = true;
      return (surelyTrue && surelyOtherwise) || (enough === 'canBeTrue' && canBeTrue);
    });
    return { canBeTrue, canBeOtherwise, surelyTrue, surelyOtherwise };
  }

  /** All values an expression can have. */
  image(expression: Expression, domain: (leaf: Leaf) => Domain): Domain {
    const found: Abstract[] = [];
    this.eachCase(expression, domain, MAX_IMAGE_CASES, (value) => {
      found.push(value);
      return false;
    });
    return domainOf(found);
  }

  private eachCase(
    expression: Expression,
    domain: (leaf: Leaf) => Domain,
    most: number,
    visit: (value: Abstract, mayFail: boolean) => boolean,
  ): void {
    const { leaves, constants, members, wholeSets, parts } = shapeOf(expression);
    const split = [...leaves]
      .map((leaf): Split => ({ leaf, cases: casesOf(domain(leaf), constants, members, wholeSets) }))
      .sort((a, b) => a.cases.length - b.cases.length);
    const current = new Map<Leaf, Abstract>();
    const tried: Split[] = [];
    let product = 1;
    for (const entry of split) {
      const room = Math.floor(Math.min(most, this.left / parts) / product);
      const cases = [entry.cases, coarseCasesOf(domain(entry.leaf), constants)].find((some) => some.length <= room);
      if (cases === undefined) current.set(entry.leaf, hull(domain(entry.leaf)));
      else {
        product *= Math.max(1, cases.length);
        tried.push({ leaf: entry.leaf, cases });
      }
    }
    const read = (leaf: Leaf): Abstract => current.get(leaf) ?? hull(domain(leaf));
    const visitFrom = (index: number, from: readonly Split[]): boolean => {
      const entry = from[index];
      if (entry === undefined) {
        this.left = Math.max(0, this.left - parts);
        const { value, mayFail } = evaluateAbstract(expression, read);
        return visit(value, mayFail);
      }
      return entry.cases.some((value) => {
        current.set(entry.leaf, value);
        return visitFrom(index + 1, from);
      });
    };
    // Most guards that can go either way show it at the ends of their values.
    if (product > 4 ** tried.length && tried.length <= 4 && visitFrom(0, tried.map(endsOf))) return;
    visitFrom(0, tried);
  }
}

interface Split {
  readonly leaf: Leaf;
  readonly cases: readonly Abstract[];
}
const endsOf = ({ leaf, cases }: Split): Split => ({ leaf, cases: cases.length > 2 ? [...cases.slice(0, 1), ...cases.slice(-1)] : cases });

interface Shape {
  /** Number of parts of the expression. */
  readonly parts: number;
  readonly leaves: ReadonlySet<Leaf>;
  readonly constants: readonly number[];
  readonly members: ReadonlySet<string>;
  /** Sets are compared or counted as wholes, or asked for members that vary. */
  readonly wholeSets: boolean;
}
const shapes = new WeakMap<Expression, Shape>();

function shapeOf(expression: Expression): Shape {
  const known = shapes.get(expression);
  if (known !== undefined) return known;
  const leaves = new Set<Leaf>();
  const constants = new Set<number>();
  const members = new Set<string>();
  let wholeSets = false;
  let parts = 0;
  walk(expression, (part) => {
    parts++;
    const leaf = leafOf(part);
    if (leaf !== undefined) leaves.add(leaf);
    if (part.op === 'int') constants.add(part.value).add(-part.value);
    if (part.op === 'string') members.add(part.value);
    if (part.op === 'size' || part.op === '==' || part.op === '!=' || part.op === 'set' || (part.op === 'in' && part.left.op !== 'string'))
      wholeSets = true;
  });
  const shape = { parts, leaves, constants: [...constants].sort((a, b) => a - b), members, wholeSets };
  shapes.set(expression, shape);
  return shape;
}

/** Cuts a domain into cases that together cover it: single values where they are few, else ranges between the guard's constants. */
function casesOf(domain: Domain, constants: readonly number[], members: ReadonlySet<string>, wholeSets: boolean): readonly Abstract[] {
  switch (domain.kind) {
    case 'bool': {
      const { canBeTrue, canBeFalse } = domain;
      const cases: Abstract[] = [];
      if (canBeTrue) cases.push({ kind: 'bool', canBeTrue: true, canBeFalse: false });
      if (canBeFalse) cases.push({ kind: 'bool', canBeTrue: false, canBeFalse: true });
      return cases;
    }
    case 'string':
      return domain.values.map((value) => ({ kind: 'string', values: [value] }));
    case 'ints':
      return sizeOfRanges(domain.ranges) <= 256 ? remembered(domain, () => singles(domain.ranges)) : between(domain.ranges, constants);
    case 'set': {
      if (wholeSets) return remembered(domain, () => subsets(domain, () => true));
      return subsets(domain, (member) => members.has(member));
    }
  }
}

/** All ways in which the members that matter can be in the set or not; the set itself if they are too many. */
function subsets(domain: Extract<Domain, { kind: 'set' }>, matters: (member: string) => boolean): readonly Abstract[] {
  const free = domain.may.filter((member) => !domain.must.includes(member) && matters(member));
  if (free.length > 12) return [domain];
  const undecided = domain.may.filter((member) => !free.includes(member));
  return Array.from({ length: 2 ** free.length }, (_, bits) => {
    const taken = free.filter((_member, i) => (bits >> i) & 1);
    return { kind: 'set', must: [...domain.must, ...taken], may: [...undecided, ...taken] };
  });
}

/** Cases that depend on the domain alone, made once for each: thousands of guards ask for the same. */
const casesOfDomains = new WeakMap<Domain, readonly Abstract[]>();
function remembered(domain: Domain, make: () => readonly Abstract[]): readonly Abstract[] {
  const known = casesOfDomains.get(domain);
  if (known !== undefined) return known;
  const cases = make();
  casesOfDomains.set(domain, cases);
  return cases;
}

/** Fewer cases, for when the single values of several variables are too many together. */
const coarseCasesOf = (domain: Domain, constants: readonly number[]): readonly Abstract[] =>
  domain.kind === 'ints' ? between(domain.ranges, constants) : [hull(domain)];

export const sizeOfRanges = (ranges: readonly Range[]): number => ranges.reduce((sum, { lo, hi }) => sum + (hi - lo + 1), 0);

const singles = (ranges: readonly Range[]): readonly Abstract[] =>
  ranges.flatMap(({ lo, hi }) => Array.from({ length: hi - lo + 1 }, (_, i) => int(lo + i, lo + i)));

function between(ranges: readonly Range[], constants: readonly number[]): readonly Abstract[] {
  return ranges.flatMap(({ lo, hi }) => {
    const cases: Abstract[] = [];
    let from = lo;
    for (const constant of constants) {
      if (constant < from || constant > hi) continue;
      if (constant > from) cases.push(int(from, constant - 1));
      cases.push(int(constant, constant));
      from = constant + 1;
    }
    if (from <= hi) cases.push(int(from, hi));
    return cases;
  });
}

/** The one abstract value that covers the domain. */
export function hull(domain: Domain): Abstract {
  if (domain.kind !== 'ints') return domain;
  return int(domain.ranges[0]?.lo ?? 1, domain.ranges.at(-1)?.hi ?? 0);
}

/** More ranges than this are merged into one. */
const MAX_RANGES = 32;

/** The domain that covers all of these values, which are of one kind. At least one is needed. */
export function domainOf(values: readonly Abstract[]): Domain {
  const [first] = values;
  if (first === undefined) return { kind: 'ints', ranges: [] };
  if (first.kind === 'int') return { kind: 'ints', ranges: merged(values.filter((value) => value.kind === 'int')) };
  if (first.kind === 'bool') {
    const bools = values.filter((value) => value.kind === 'bool');
    return { kind: 'bool', canBeTrue: bools.some((value) => value.canBeTrue), canBeFalse: bools.some((value) => value.canBeFalse) };
  }
  if (first.kind === 'string') {
    return { kind: 'string', values: [...new Set(values.flatMap((value) => (value.kind === 'string' ? value.values : [])))] };
  }
  const sets = values.filter((value) => value.kind === 'set');
  return {
    kind: 'set',
    must: first.must.filter((member) => sets.every((set) => set.must.includes(member))),
    may: [...new Set(sets.flatMap((set) => set.may))],
  };
}

function merged(ranges: readonly Range[]): readonly Range[] {
  const sorted = ranges.filter(({ lo, hi }) => lo <= hi).toSorted((a, b) => a.lo - b.lo);
  const result: { lo: number; hi: number }[] = [];
  for (const { lo, hi } of sorted) {
    const last = result.at(-1);
    if (last !== undefined && lo <= last.hi + 1) last.hi = Math.max(last.hi, hi);
    else result.push({ lo, hi });
  }
  const [lowest, highest] = [result[0], result.at(-1)];
  return result.length > MAX_RANGES && lowest !== undefined && highest !== undefined ? [{ lo: lowest.lo, hi: highest.hi }] : result;
}

/** A domain's parts as abstract values, so that domains can be joined by `domainOf`. */
export const partsOf = (domain: Domain): readonly Abstract[] =>
  domain.kind === 'ints' ? domain.ranges.map(({ lo, hi }) => int(lo, hi)) : [domain];

export function sameDomain(a: Domain, b: Domain): boolean {
  if (a.kind === 'ints' && b.kind === 'ints')
    return a.ranges.length === b.ranges.length && a.ranges.every(({ lo, hi }, i) => lo === b.ranges[i]?.lo && hi === b.ranges[i]?.hi);
  if (a.kind === 'bool' && b.kind === 'bool') return a.canBeTrue === b.canBeTrue && a.canBeFalse === b.canBeFalse;
  if (a.kind === 'string' && b.kind === 'string') return a.values.length === b.values.length;
  return a.kind === 'set' && b.kind === 'set' && a.must.length === b.must.length && a.may.length === b.may.length;
}
