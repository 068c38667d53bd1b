import {
  chosenLeaf,
  declaredValues,
  defaultValue,
  int,
  type Leaf,
  MAX_COUNT,
  TURN_LEAF,
  variableLeaf,
  visitsLeaf,
  type Abstract,
  leafOf,
} from './abstract-value.js';
import { walk } from './compile-expression.js';
import type { Expression } from './expression.js';
import { type Domain, domainOf, GuardAnalysis, hull, partsOf, sameDomain } from './guard-analysis.js';
import { type Choice, type Effect, type Passage, type Story, storyletChoiceId, type Variable } from './story.js';

/*
 * What play can reach: passages, choices, endings, and the values of variables, as one least fixpoint. A choice can be taken once its guards can
 * hold for values reached so far; its effects then add values, its target a passage. Where the order of events would matter, everything
 * is taken as possible: what is not reached here is never reached.
 */

export interface Reach {
  readonly passages: ReadonlySet<string>;
  /** `passage/choice` of choices that can be taken. */
  readonly choices: ReadonlySet<string>;
  /** Storylets that some reachable hub can offer. */
  readonly offered: ReadonlySet<string>;
  readonly endings: ReadonlySet<string>;
  /** Variables that some effect that can happen assigns. */
  readonly assigned: ReadonlySet<string>;
  /** Tags that reachable hubs ask for. */
  readonly hubTags: ReadonlyMap<string, readonly string[]>;
  /** Values that a guard in this passage can meet; without a passage: anywhere. */
  domain(passage?: string): (leaf: Leaf) => Domain;
}

/** Ints that keep growing are taken to reach all of their bounds. */
const MAX_GROWTH = 20;
/** Parts of guards evaluated, over all combinations tried, to find what can be reached. */
const MAX_EVALUATIONS = 1_000_000;

export function analyseReach(story: Story): Reach {
  return new ReachAnalysis(story).run();
}

/** Something that may become possible, or give new values, when what it reads grows. Returns whether it may be dropped. */
type Item = () => boolean;

class ReachAnalysis implements Reach {
  readonly passages = new Set<string>();
  readonly choices = new Set<string>();
  readonly offered = new Set<string>();
  readonly endings = new Set<string>();
  readonly assigned = new Set<string>();
  readonly hubTags = new Map<string, string[]>();
  private readonly storylets = new Map<string, string[]>();
  private readonly domains = new Map<Leaf, Domain>();
  private readonly growth = new Map<Leaf, number>();
  private readonly waiting = new Map<Leaf, Set<Item>>();
  private readonly queue = new Set<Item>();

  private readonly guards = new GuardAnalysis(MAX_EVALUATIONS);

  constructor(private readonly story: Story) {
    for (const [name, variable] of Object.entries(story.variables))
      this.domains.set(variableLeaf(name), domainOf([defaultValue(variable)]));
    this.domains.set(TURN_LEAF, domainOf([int(0, MAX_COUNT)]));
    for (const [id, passage] of Object.entries(story.passages)) {
      if (passage.offerWhen !== undefined) for (const tag of passage.tags) add(this.storylets, tag, id);
    }
  }

  run(): Reach {
    this.enter(this.story.start);
    for (const item of this.queue) {
      this.queue.delete(item);
      item();
    }
    return this;
  }

  domain(passage?: string): (leaf: Leaf) => Domain {
    const here = passage === undefined ? undefined : visitsLeaf(passage);
    const start = visitsLeaf(this.story.start);
    return (leaf) => {
      // Who stands in a passage has entered it, and the start.
      if (here !== undefined && (leaf === here || leaf === start)) return visited;
      // Offers are hubs × storylets: not tracked one by one.
      return this.domains.get(leaf) ?? (leaf.includes(`/${storyletChoiceId('')}`) ? counted : never);
    };
  }

  private enter(id: string): void {
    const passage = Object.hasOwn(this.story.passages, id) ? this.story.passages[id] : undefined;
    if (passage === undefined || this.passages.has(id)) return;
    this.passages.add(id);
    // Queued, not called: a story may be 10,000 passages in a row.
    this.queue.add(() => {
      this.grow(visitsLeaf(id), int(0, MAX_COUNT));
      this.effects(passage.effects, undefined);
      if (passage.ending !== undefined) this.endings.add(passage.ending);
      else {
        for (const choice of passage.choices) this.choice(id, choice);
        if (passage.storylets !== undefined) this.hub(id, passage.storylets.tag);
      }
      return true;
    });
  }

  private choice(passage: string, choice: Choice): void {
    this.when(choiceGuard(choice), passage, () => {
      const key = `${passage}/${choice.id}`;
      this.choices.add(key);
      this.grow(chosenLeaf(key), int(0, choice.repeat === 'once' ? 1 : MAX_COUNT));
      this.effects(choice.effects, passage);
      if ('passage' in choice.target) this.enter(choice.target.passage);
      if ('end' in choice.target) this.endings.add(choice.target.end);
    });
  }

  private hub(id: string, tag: string): void {
    const first = !this.hubTags.has(tag);
    add(this.hubTags, tag, id);
    if (!first) return;
    for (const storylet of this.storylets.get(tag) ?? []) {
      this.when(this.story.passages[storylet]?.offerWhen, undefined, () => {
        this.offered.add(storylet);
        this.enter(storylet);
      });
    }
  }

  /** Runs `then` once, as soon as the guard can hold. */
  private when(guard: Expression | undefined, passage: string | undefined, then: () => void): void {
    if (guard === undefined) return then();
    let done = false;
    this.watch([guard], () => {
      if (!done && this.guards.decide(guard, this.domain(passage), 'canBeTrue').canBeTrue) {
        done = true;
        then();
      }
      return done;
    });
  }

  private effects(effects: readonly Effect[], passage: string | undefined): void {
    for (const effect of effects) {
      const variable = this.story.variables[effect.variable];
      if (variable === undefined) continue;
      this.when(effect.when, passage, () => {
        this.assigned.add(effect.variable);
        const own: Expression = { op: 'var', name: effect.variable };
        const reads = effect.do === 'set' ? [effect.to] : effect.do === 'add' ? [effect.by, own] : effect.do === 'draw' ? [] : [own];
        const all = domainOf([declaredValues(variable)]);
        this.watch(reads, () => {
          if (sameDomain(this.domain()(variableLeaf(effect.variable)), all)) return true;
          for (const value of this.outcome(effect, variable, passage)) this.grow(variableLeaf(effect.variable), value);
          return false;
        });
      });
    }
  }

  /** Values that the effect can give its variable. */
  private outcome(effect: Effect, variable: Variable, passage: string | undefined): readonly Abstract[] {
    const domain = this.domain(passage);
    switch (effect.do) {
      case 'set':
        return bounded(partsOf(this.guards.image(effect.to, domain)), variable);
      case 'add': {
        const by = partsOf(this.guards.image(effect.by, domain));
        const now = partsOf(domain(variableLeaf(effect.variable)));
        return bounded(
          now.flatMap((a) => by.map((b) => (a.kind === 'int' && b.kind === 'int' ? int(a.lo + b.lo, a.hi + b.hi) : a))),
          variable,
        );
      }
      case 'insert':
      case 'remove': {
        const now = hull(domain(variableLeaf(effect.variable)));
        if (now.kind !== 'set') return [];
        const { member } = effect;
        const [must, may] = [now.must.filter((one) => one !== member), now.may.filter((one) => one !== member)];
        return [effect.do === 'insert' ? { kind: 'set', must: [...must, member], may: [...may, member] } : { kind: 'set', must, may }];
      }
      case 'draw':
        return [variable.type === 'int' ? int(effect.min ?? variable.min, effect.max ?? variable.max) : declaredValues(variable)];
    }
  }

  private grow(leaf: Leaf, value: Abstract): void {
    const before = this.domains.get(leaf);
    let after = domainOf([...(before === undefined ? [] : partsOf(before)), value]);
    if (before !== undefined && sameDomain(before, after)) return;
    const steps = (this.growth.get(leaf) ?? 0) + 1;
    this.growth.set(leaf, steps);
    if (steps > MAX_GROWTH && after.kind === 'ints') after = domainOf([...partsOf(after), ...this.bounds(leaf)]);
    this.domains.set(leaf, after);
    for (const item of this.waiting.get(leaf) ?? []) this.queue.add(item);
  }

  private bounds(leaf: Leaf): readonly Abstract[] {
    const name = leaf.startsWith(variableLeaf('')) ? leaf.slice(variableLeaf('').length) : undefined;
    const variable = name === undefined ? undefined : this.story.variables[name];
    return variable === undefined ? [] : [declaredValues(variable)];
  }

  /** Runs the item now and again whenever something that the expressions read has grown, until it says that it is done. */
  private watch(expressions: readonly Expression[], item: Item): void {
    const leaves = new Set<Leaf>();
    for (const expression of expressions) {
      walk(expression, (part) => {
        const leaf = leafOf(part);
        if (leaf !== undefined) leaves.add(leaf);
      });
    }
    const watched: Item = () => {
      const done = item();
      if (done) for (const leaf of leaves) this.waiting.get(leaf)?.delete(watched);
      return done;
    };
    for (const leaf of leaves) {
      const items = this.waiting.get(leaf);
      if (items === undefined) this.waiting.set(leaf, new Set([watched]));
      else items.add(watched);
    }
    this.queue.add(watched);
  }
}

const visited = domainOf([int(1, MAX_COUNT)]);
const counted = domainOf([int(0, MAX_COUNT)]);
const never = domainOf([int(0, 0)]);

function add(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** Results beyond a variable's bounds are cut to them. */
function bounded(values: readonly Abstract[], variable: Variable): readonly Abstract[] {
  if (variable.type !== 'int') return values;
  const { min, max } = variable;
  const cut = (value: number) => Math.min(Math.max(value, min), max);
  return values.map((value) => (value.kind === 'int' && value.lo <= value.hi ? int(cut(value.lo), cut(value.hi)) : value));
}

const guardsOfChoices = new WeakMap<Choice, { readonly guard: Expression | undefined }>();

/** What must hold for a choice to be taken, by the reader or, if it is timed, by itself. */
export function choiceGuard(choice: Choice): Expression | undefined {
  const known = guardsOfChoices.get(choice);
  if (known !== undefined) return known.guard;
  const { visibleWhen, enabledWhen } = choice;
  const guard: Expression | undefined =
    visibleWhen === undefined ? enabledWhen : enabledWhen === undefined ? visibleWhen : { op: '&&', left: visibleWhen, right: enabledWhen };
  guardsOfChoices.set(choice, { guard });
  return guard;
}

/** Passages that a hub of this story can offer as storylets, by tag. */
export function storyletsByTag(story: Story): ReadonlyMap<string, readonly string[]> {
  const tags = new Map<string, string[]>();
  for (const [id, passage] of Object.entries(story.passages)) {
    if (isStorylet(passage)) for (const tag of passage.tags) add(tags, tag, id);
  }
  return tags;
}
const isStorylet = (passage: Passage): boolean => passage.offerWhen !== undefined;
