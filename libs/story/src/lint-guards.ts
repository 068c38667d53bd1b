import { variableLeaf } from './abstract-value.js';
import type { Expression } from './expression.js';
import { type Domain, type GuardAnalysis, hull, isExact } from './guard-analysis.js';
import { problemOf } from './lint-rules.js';
import { printExpression } from './print-expression.js';
import { pointer, type Problem, type ProblemPlace } from './problem.js';
import type { Reach } from './reach-analysis.js';
import type { Choice, Effect, Passage, Story, Variable } from './story.js';

type Path = readonly (string | number)[];

/** Findings about guards and effects of the passages that can be reached: never true, always true, out of bounds. */
export function lintGuards(story: Story, reach: Reach, guards: GuardAnalysis): readonly Problem[] {
  return new GuardLinter(story, reach, guards).run();
}

class GuardLinter {
  private readonly problems: Problem[] = [];
  private partial = 0;

  constructor(
    private readonly story: Story,
    private readonly reach: Reach,
    private readonly guards: GuardAnalysis,
  ) {}

  run(): readonly Problem[] {
    for (const [id, passage] of Object.entries(this.story.passages)) {
      const path = ['passages', id];
      const offering = passage.tags.some((tag) => this.reach.hubTags.has(tag));
      if (passage.offerWhen !== undefined && offering) this.guard(passage.offerWhen, [...path, 'offerWhen'], { passage: id }, undefined);
      if (this.reach.passages.has(id)) this.passage(id, passage, path);
    }
    if (this.partial > 0)
      this.problems.push(
        problemOf('FAB-G215', { path: '' }, `${this.partial} guards were decided by ranges only, not by trying every value`),
      );
    return this.problems;
  }

  private passage(id: string, passage: Passage, path: Path): void {
    const where = { passage: id };
    passage.text.forEach((part, i) => part.when && this.guard(part.when, [...path, 'text', i, 'when'], where, id));
    this.effects(passage.effects, [...path, 'effects'], where, undefined);
    if (passage.ending === undefined) passage.choices.forEach((choice, i) => this.choice(id, choice, [...path, 'choices', i]));
  }

  private choice(passage: string, choice: Choice, path: Path): void {
    const where = { passage, choice: choice.id };
    const { visibleWhen, enabledWhen } = choice;
    const visible = visibleWhen === undefined || this.guard(visibleWhen, [...path, 'visibleWhen'], where, passage);
    const enabled = enabledWhen === undefined || this.guard(enabledWhen, [...path, 'enabledWhen'], where, passage);
    if (!visible || !enabled) return;
    if (this.reach.choices.has(`${passage}/${choice.id}`)) this.effects(choice.effects, [...path, 'effects'], where, passage);
    else this.report('FAB-G203', [...path, 'enabledWhen'], where, '`visibleWhen` and `enabledWhen` are never true together');
  }

  /** Reports a guard that has one outcome only. Returns whether it can be true. */
  private guard(guard: Expression, path: Path, where: Omit<ProblemPlace, 'path'>, passage: string | undefined): boolean {
    const verdict = this.guards.decide(guard, this.reach.domain(passage));
    const { canBeTrue, canBeOtherwise } = verdict;
    const written = guard.op === 'bool';
    if (!canBeTrue) this.report('FAB-G203', path, where, `\`${printExpression(guard)}\` is never true`);
    // A guard that is just `true` says so itself: storylets without a condition are written that way.
    else if (!canBeOtherwise && !written) this.report('FAB-G204', path, where, `\`${printExpression(guard)}\` is always true`);
    else if (!isExact(verdict)) this.partial++;
    return canBeTrue;
  }

  private effects(effects: readonly Effect[], path: Path, where: Omit<ProblemPlace, 'path'>, passage: string | undefined): void {
    effects.forEach((effect, i) => {
      const place = [...path, i];
      const happens = effect.when === undefined || this.guard(effect.when, [...place, 'when'], where, passage);
      const variable = this.story.variables[effect.variable];
      if (happens && variable?.type === 'int') this.bounds(effect, variable, place, { ...where, variable: effect.variable }, passage);
    });
  }

  private bounds(
    effect: Effect,
    variable: Extract<Variable, { type: 'int' }>,
    path: Path,
    where: Omit<ProblemPlace, 'path'>,
    passage: string | undefined,
  ): void {
    if (effect.do !== 'set' && effect.do !== 'add') return;
    const domain = this.reach.domain(passage);
    const given = hull(this.guards.image(effect.do === 'set' ? effect.to : effect.by, domain));
    if (given.kind !== 'int' || given.lo > given.hi) return;
    const now: Domain = domain(variableLeaf(effect.variable));
    const before = effect.do === 'set' ? undefined : hull(now);
    const [lo, hi] = before?.kind === 'int' ? [before.lo + given.lo, before.hi + given.hi] : [given.lo, given.hi];
    if (lo <= variable.max && hi >= variable.min) return;
    const result = lo === hi ? String(lo) : `between ${lo} and ${hi}`;
    this.report('FAB-G208', path, where, `the result is ${result}, but \`${effect.variable}\` is ${variable.min} … ${variable.max}`);
  }

  private report(code: Problem['code'], path: Path, where: Omit<ProblemPlace, 'path'>, message: string): void {
    this.problems.push(problemOf(code, { ...where, path: pointer(path) }, message));
  }
}
