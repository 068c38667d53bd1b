import { checkStory, shownIn } from './check-story.js';
import { walk } from './compile-expression.js';
import { cyclesOf } from './components.js';
import type { Expression } from './expression.js';
import { GuardAnalysis } from './guard-analysis.js';
import { lintGuards } from './lint-guards.js';
import { problemOf } from './lint-rules.js';
import { limitPerCode, pointer, type Problem, type ProblemPlace } from './problem.js';
import { analyseReach, choiceGuard, type Reach } from './reach-analysis.js';
import type { Choice, Effect, Passage, Story } from './story.js';

/**
 * What can be said about a story without playing it: references (G1xx, as `checkStory`), then what play can reach (G2xx). "Never" and "always"
 * are proved; near-linear in the story's size. A story with errors of type gets only those.
 */
export function lintStory(story: Story): readonly Problem[] {
  const checked = checkStory(story);
  if (checked.some((problem) => problem.severity === 'error' && (problem.code < 'FAB-G100' || problem.code === 'FAB-G102'))) return checked;
  const reach = analyseReach(story);
  const guards = new GuardAnalysis(MAX_EVALUATIONS);
  return limitPerCode([...checked, ...new Linter(story, reach, guards).run(), ...lintGuards(story, reach, guards)]);
}

/** Parts of guards evaluated for one story, over all combinations tried: keeps lint near-linear. */
const MAX_EVALUATIONS = 2_000_000;
/** Stands for all hubs to which `return` may go back; passage ids have no slash. */
const HUBS = 'return/';

class Linter {
  private readonly problems: Problem[] = [];
  /** Passages that can be reached, in the story's order. */
  private readonly reached: readonly (readonly [string, Passage])[];

  constructor(
    private readonly story: Story,
    private readonly reach: Reach,
    private readonly guards: GuardAnalysis,
  ) {
    this.reached = Object.entries(story.passages).filter(([id]) => reach.passages.has(id));
  }

  run(): readonly Problem[] {
    this.unreachable();
    this.endings();
    this.variables();
    for (const [id, passage] of this.reached) {
      this.deadEnd(id, passage);
      this.labels(id, passage);
    }
    this.runningOut();
    this.forcedCycles();
    this.returns();
    return this.problems;
  }

  private report(code: Problem['code'], path: readonly (string | number)[], message: string, where: Omit<ProblemPlace, 'path'> = {}): void {
    this.problems.push(problemOf(code, { ...where, path: pointer(path) }, message));
  }

  private canBeTaken(passage: string, choice: Choice): boolean {
    return this.reach.choices.has(`${passage}/${choice.id}`);
  }

  private unreachable(): void {
    const hubTags = new Set(Object.values(this.story.passages).flatMap((passage) => passage.storylets?.tag ?? []));
    for (const [id, passage] of Object.entries(this.story.passages)) {
      if (this.reach.passages.has(id)) continue;
      const where = { passage: id };
      if (passage.offerWhen !== undefined && !passage.tags.some((tag) => hubTags.has(tag)))
        this.report('FAB-G211', ['passages', id], `no hub offers storylets of ${listed(passage.tags, 'no tag')}`, where);
      else this.report('FAB-G201', ['passages', id], 'nothing that can happen leads to this passage', where);
    }
  }

  private endings(): void {
    if (this.reach.endings.size === 0) return this.report('FAB-G209', [], 'no way leads from the start to an ending');
    for (const id of Object.keys(this.story.endings))
      if (!this.reach.endings.has(id)) this.report('FAB-G212', ['endings', id], `nothing that can happen ends with \`${id}\``);
  }

  private variables(): void {
    const uses = usesOf(this.story);
    for (const [name, variable] of Object.entries(this.story.variables)) {
      const where = { variable: name };
      // Readers see the changes of a public variable: that is use enough.
      const used = uses.read.has(name) || (variable.public && uses.assigned.has(name));
      if (!used) this.report('FAB-G206', ['variables', name], `nothing reads \`${name}\``, where);
      else if (!uses.assigned.has(name)) this.report('FAB-G207', ['variables', name], `no effect assigns \`${name}\``, where);
      else if (!this.reach.assigned.has(name))
        this.report('FAB-G207', ['variables', name], `no effect that can happen assigns \`${name}\``, where);
    }
  }

  private deadEnd(id: string, passage: Passage): void {
    const choices = passage.choices.length > 0;
    if (passage.ending !== undefined) {
      if (choices || passage.storylets !== undefined)
        this.report('FAB-G216', ['passages', id, choices ? 'choices' : 'storylets'], 'the playthrough has ended here', { passage: id });
    } else if (!passage.choices.some((choice) => this.canBeTaken(id, choice)) && !this.offersAnything(passage)) {
      const message = choices ? 'none of the choices can ever be taken' : 'there is no choice, no storylet and no ending';
      this.report('FAB-G202', ['passages', id], message, { passage: id });
    }
  }

  private storyletsOf(passage: Passage): readonly string[] {
    const tag = passage.storylets?.tag;
    return tag === undefined ? [] : (this.offeredByTag().get(tag) ?? []);
  }
  private offersAnything(passage: Passage): boolean {
    return this.storyletsOf(passage).length > 0;
  }

  private byTag: Map<string, string[]> | undefined;
  private offeredByTag(): ReadonlyMap<string, readonly string[]> {
    if (this.byTag !== undefined) return this.byTag;
    const byTag = new Map<string, string[]>();
    for (const id of this.reach.offered) {
      for (const tag of this.story.passages[id]?.tags ?? []) {
        const list = byTag.get(tag);
        if (list === undefined) byTag.set(tag, [id]);
        else list.push(id);
      }
    }
    this.byTag = byTag;
    return byTag;
  }

  private labels(id: string, passage: Passage): void {
    const known = new Map<string, Choice>();
    passage.choices.forEach((choice, i) => {
      if (choice.kind === 'timed' || passage.ending !== undefined) return;
      const key = `${choice.kind} ${choice.label.trim()}`;
      const other = known.get(key);
      known.set(key, choice);
      if (other === undefined || !this.together(id, other.visibleWhen, choice.visibleWhen)) return;
      const message = `reads like \`${other.id}\``;
      this.report('FAB-G213', ['passages', id, 'choices', i, 'label'], message, { passage: id, choice: choice.id });
    });
  }

  private together(passage: string, a: Expression | undefined, b: Expression | undefined): boolean {
    const both: Expression | undefined = a === undefined ? b : b === undefined ? a : { op: '&&', left: a, right: b };
    return both === undefined || this.guards.decide(both, this.reach.domain(passage), 'canBeTrue').canBeTrue;
  }

  /** Edges that a playthrough can follow, whatever causes them. */
  private next(id: string): readonly string[] {
    // With no hub to go back to, the story begins anew.
    if (id === HUBS) return [this.story.start, ...[...this.reach.hubTags.values()].flat()];
    const passage = this.story.passages[id];
    if (passage === undefined || passage.ending !== undefined) return [];
    const targets = passage.choices.flatMap((choice) => {
      if (!this.canBeTaken(id, choice)) return [];
      return 'passage' in choice.target ? [choice.target.passage] : 'return' in choice.target ? [HUBS] : [];
    });
    // The tag is a node of its own: hubs × storylets edges would not be linear.
    return passage.storylets === undefined ? targets : [...targets, tagNode(passage.storylets.tag)];
  }

  private nextOrTag(id: string): readonly string[] {
    return id.startsWith(tagNode('')) ? (this.offeredByTag().get(id.slice(tagNode('').length)) ?? []) : this.next(id);
  }

  private runningOut(): void {
    const again = new Set(cyclesOf(this.reach.passages, (id) => this.nextOrTag(id)).flat());
    for (const [id, passage] of this.reached) {
      if (passage.ending !== undefined || !passage.choices.some((choice) => this.canBeTaken(id, choice))) continue;
      const lasting = passage.choices.filter((choice) => choice.repeat === 'sticky' || !again.has(id)).map(choiceGuard);
      const offers = this.storyletsOf(passage).map((storylet) => this.story.passages[storylet]?.offerWhen);
      if (this.canAllFail(id, [...lasting, ...offers])) {
        const once = again.has(id) && passage.choices.some((choice) => choice.repeat === 'once');
        const text = once
          ? 'when the choices for once are used up, nothing may be left to choose'
          : 'every choice can be hidden or locked at the same time';
        this.report('FAB-G205', ['passages', id, 'choices'], text, { passage: id });
      }
    }
  }

  /** Whether for some values for certain none of these guards holds. */
  private canAllFail(passage: string, guards: readonly (Expression | undefined)[]): boolean {
    const given = guards.filter((guard) => guard !== undefined);
    if (given.length < guards.length) return false;
    const [first, ...more] = given;
    if (first === undefined) return true;
    if (given.length > MAX_GUARDS_TOGETHER) return false;
    const any = more.reduce<Expression>((left, right) => ({ op: '||', left, right }), first);
    return this.guards.decide(any, this.reach.domain(passage)).surelyOtherwise;
  }

  private forcedCycles(): void {
    const forced = new Map<string, readonly string[]>();
    for (const [id, passage] of this.reached) {
      const takable = passage.choices.filter((choice) => this.canBeTaken(id, choice));
      if (passage.ending !== undefined || this.offersAnything(passage) || takable.some((choice) => choice.kind === 'normal')) continue;
      forced.set(
        id,
        takable.flatMap((choice) => ('passage' in choice.target ? [choice.target.passage] : [])),
      );
    }
    for (const cycle of cyclesOf(forced.keys(), (id) => (forced.get(id) ?? []).filter((to) => forced.has(to)))) {
      const [first = ''] = cycle;
      this.report('FAB-G210', ['passages', first], `${listed(cycle, '')} lead to each other without a choice`, { passage: first });
    }
  }

  private returns(): void {
    const inside = new Set(this.reach.offered);
    for (const id of inside) for (const to of this.next(id)) if (this.story.passages[to] !== undefined) inside.add(to);
    for (const [id, passage] of this.reached) {
      passage.choices.forEach((choice, i) => {
        if ('return' in choice.target && this.canBeTaken(id, choice) && !inside.has(id))
          this.report('FAB-G214', ['passages', id, 'choices', i, 'target'], 'no storylet leads here', { passage: id, choice: choice.id });
      });
    }
  }
}

/** Guards of more choices than this are not looked at together. */
const MAX_GUARDS_TOGETHER = 100;
const tagNode = (tag: string): string => `tag/${tag}`;

const listed = (ids: readonly string[], none: string): string =>
  ids.length === 0
    ? none
    : ids
        .slice(0, 8)
        .map((id) => `\`${id}\``)
        .join(', ') + (ids.length > 8 ? ' …' : '');

/** Variables that something reads (an effect reading only what it assigns does not count) and that some effect assigns. */
function usesOf(story: Story): { readonly read: ReadonlySet<string>; readonly assigned: ReadonlySet<string> } {
  const read = new Set<string>();
  const assigned = new Set<string>();
  const reads = (expression: Expression | undefined, except?: string) => {
    if (expression === undefined) return;
    walk(expression, (part) => {
      if (part.op === 'var' && part.name !== except) read.add(part.name);
    });
  };
  const effects = (list: readonly Effect[]) => {
    for (const effect of list) {
      assigned.add(effect.variable);
      reads(effect.when);
      if (effect.do === 'set') reads(effect.to, effect.variable);
      if (effect.do === 'add') reads(effect.by, effect.variable);
    }
  };
  for (const passage of Object.values(story.passages)) {
    reads(passage.offerWhen);
    effects(passage.effects);
    for (const part of passage.text) {
      reads(part.when);
      for (const name of shownIn(part.text)) read.add(name);
    }
    for (const choice of passage.choices) {
      reads(choice.visibleWhen);
      reads(choice.enabledWhen);
      effects(choice.effects);
    }
  }
  return { read, assigned };
}
