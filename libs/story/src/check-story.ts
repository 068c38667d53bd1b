import { BOOL, checkExpression, type ExpressionType, INT, type Names, typeOfVariable } from './check-expression.js';
import type { Expression } from './expression.js';
import { problemOf } from './lint-rules.js';
import { limitPerCode, pointer, type Problem, type ProblemPlace } from './problem.js';
import { type Choice, type Effect, type Passage, type Story, storyletChoiceId, type Variable } from './story.js';

/**
 * Types (G0xx) and references (G1xx) of a story: all that must hold before it can be compiled. Linear in the story's size.
 * The story's form is taken for granted: it came from `normaliseStory` or `parseCanonicalStory`.
 */
export function checkStory(story: Story): readonly Problem[] {
  return limitPerCode(new StoryChecker(story).run());
}

/** A place: the path so far, and the ids that people know. */
export interface Place extends Omit<ProblemPlace, 'path'> {
  readonly path: readonly (string | number)[];
}
const at = (place: Place, ...more: (string | number)[]): Place => ({ ...place, path: [...place.path, ...more] });
export const placeOf = ({ path, ...ids }: Place): ProblemPlace => ({ path: pointer(path), ...ids });

export function namesOf(story: Story): Names {
  const passage = (id: string) => (Object.hasOwn(story.passages, id) ? story.passages[id] : undefined);
  return {
    variable: (name) => (Object.hasOwn(story.variables, name) ? story.variables[name] : undefined),
    hasPassage: (id) => passage(id) !== undefined,
    hasChoice: (key) => {
      // Passage ids have no slash, so the first one ends the passage.
      const slash = key.indexOf('/');
      const [from, choiceId] = [passage(key.slice(0, Math.max(slash, 0))), key.slice(slash + 1)];
      if (from === undefined) return false;
      if (from.choices.some((choice) => choice.id === choiceId)) return true;
      const storylet = choiceId.startsWith(storyletChoiceId('')) ? passage(choiceId.slice(storyletChoiceId('').length)) : undefined;
      return storylet?.offerWhen !== undefined && from.storylets !== undefined && storylet.tags.includes(from.storylets.tag);
    },
  };
}

class StoryChecker {
  private readonly problems: Problem[] = [];
  private readonly names: Names;
  private readonly drawIds = new Set<string>();
  private readonly storyletTags = new Set<string>();

  constructor(private readonly story: Story) {
    this.names = namesOf(story);
    for (const passage of Object.values(story.passages)) {
      if (passage.offerWhen !== undefined) for (const tag of passage.tags) this.storyletTags.add(tag);
    }
  }

  run(): readonly Problem[] {
    const { story } = this;
    for (const [name, variable] of Object.entries(story.variables)) this.variable(variable, { path: ['variables', name], variable: name });
    if (!this.names.hasPassage(story.start))
      this.report('FAB-G102', { path: ['start'] }, `there is no passage \`${story.start}\` to start at`);
    else if (story.passages[story.start]?.offerWhen !== undefined)
      this.report('FAB-G102', { path: ['start'] }, `the start \`${story.start}\` is a storylet`);
    for (const [id, passage] of Object.entries(story.passages)) this.passage(passage, { path: ['passages', id], passage: id });
    return this.problems;
  }

  private variable(variable: Variable, place: Place): void {
    const contradiction = (message: string) => this.report('FAB-G020', place, message);
    if (variable.type === 'int') {
      if (variable.min > variable.max) contradiction(`min ${variable.min} is above max ${variable.max}`);
      else if (variable.default < variable.min || variable.default > variable.max)
        contradiction(`the default ${variable.default} is not within ${variable.min} … ${variable.max}`);
    } else if (variable.type !== 'bool') {
      const repeated = variable.values.find((value, i) => variable.values.indexOf(value) !== i);
      if (repeated !== undefined) contradiction(`\`${repeated}\` stands twice among the values`);
      const defaults = typeof variable.default === 'string' ? [variable.default] : variable.default;
      for (const value of defaults) if (!variable.values.includes(value)) contradiction(`the default \`${value}\` is not among the values`);
    }
  }

  private passage(passage: Passage, place: Place): void {
    passage.text.forEach((part, i) => {
      const partPlace = at(place, 'text', i);
      if (part.when !== undefined) this.expression(part.when, BOOL, at(partPlace, 'when'));
      for (const name of shownIn(part.text)) {
        if (this.names.variable(name) === undefined) this.report('FAB-G107', partPlace, `there is no variable \`${name}\` to show`);
      }
    });
    if (passage.offerWhen !== undefined) this.expression(passage.offerWhen, BOOL, at(place, 'offerWhen'));
    this.effects(passage.effects, at(place, 'effects'));
    const tag = passage.storylets?.tag;
    if (tag !== undefined && !this.storyletTags.has(tag))
      this.report('FAB-G106', at(place, 'storylets'), `no storylet has the tag \`${tag}\``);
    if (passage.ending !== undefined) this.ending(passage.ending, at(place, 'ending'));
    const ids = new Set<string>();
    let timed = 0;
    passage.choices.forEach((choice, i) => {
      const choicePlace = { ...at(place, 'choices', i), choice: choice.id };
      if (ids.has(choice.id)) this.report('FAB-G006', choicePlace, `the passage has two choices \`${choice.id}\``);
      ids.add(choice.id);
      if (choice.kind === 'timed' && ++timed > 1) this.report('FAB-G022', choicePlace, 'the passage has more than one timed choice');
      this.choice(choice, choicePlace);
    });
  }

  private choice(choice: Choice, place: Place): void {
    if (choice.visibleWhen !== undefined) this.expression(choice.visibleWhen, BOOL, at(place, 'visibleWhen'));
    if (choice.enabledWhen !== undefined) this.expression(choice.enabledWhen, BOOL, at(place, 'enabledWhen'));
    if (choice.kind === 'timed' && choice.timeoutMs === undefined) this.report('FAB-G022', place, 'a timed choice needs `timeoutMs`');
    if (choice.kind !== 'timed' && choice.timeoutMs !== undefined)
      this.report('FAB-G022', place, `a ${choice.kind} choice cannot have \`timeoutMs\``);
    this.effects(choice.effects, at(place, 'effects'));
    const { target } = choice;
    if ('passage' in target && !this.names.hasPassage(target.passage))
      this.report('FAB-G101', at(place, 'target'), `there is no passage \`${target.passage}\``);
    if ('end' in target) this.ending(target.end, at(place, 'target'));
  }

  private ending(id: string, place: Place): void {
    if (!Object.hasOwn(this.story.endings, id)) this.report('FAB-G103', place, `the ending \`${id}\` is not declared`);
  }

  private effects(effects: readonly Effect[], place: Place): void {
    effects.forEach((effect, i) => {
      const effectPlace = { ...at(place, i), variable: effect.variable };
      if (effect.when !== undefined) this.expression(effect.when, BOOL, at(effectPlace, 'when'));
      const variable = this.names.variable(effect.variable);
      if (variable === undefined) this.report('FAB-G013', effectPlace, `there is no variable \`${effect.variable}\``);
      else this.effect(effect, variable, effectPlace);
    });
  }

  private effect(effect: Effect, variable: Variable, place: Place): void {
    const unfit = (needed: string) =>
      this.report('FAB-G021', place, `\`${effect.do}\` needs ${needed}, but \`${effect.variable}\` is ${variable.type}`);
    switch (effect.do) {
      case 'set':
        this.expression(effect.to, typeOfVariable(variable), at(place, 'to'));
        break;
      case 'add':
        if (variable.type !== 'int') unfit('an int variable');
        this.expression(effect.by, INT, at(place, 'by'));
        break;
      case 'insert':
      case 'remove':
        if (variable.type !== 'set') unfit('a set variable');
        else if (!variable.values.includes(effect.member))
          this.report('FAB-G014', place, `\`${effect.member}\` is not among the values of \`${effect.variable}\``);
        break;
      case 'draw':
        this.draw(effect, variable, place, unfit);
    }
  }

  private draw(effect: Extract<Effect, { do: 'draw' }>, variable: Variable, place: Place, unfit: (needed: string) => void): void {
    if (this.drawIds.has(effect.id)) this.report('FAB-G006', place, `the story has two draws \`${effect.id}\``);
    this.drawIds.add(effect.id);
    if (variable.type === 'set') unfit('a bool, int or enum variable');
    else if (variable.type === 'int') {
      const [min, max] = [effect.min ?? variable.min, effect.max ?? variable.max];
      if (min > max) this.report('FAB-G021', place, `the draw's min ${min} is above its max ${max}`);
      else if (min < variable.min || max > variable.max)
        this.report(
          'FAB-G021',
          place,
          `the draw ${min} … ${max} leaves the bounds ${variable.min} … ${variable.max} of \`${effect.variable}\``,
        );
      else if (max - min >= 2 ** 32) this.report('FAB-G021', place, 'a draw has at most 2^32 results');
    } else if (effect.min !== undefined || effect.max !== undefined) unfit('an int variable for `min` and `max`');
  }

  private expression(expression: Expression, expected: ExpressionType, place: Place): void {
    for (const { code, message } of checkExpression(expression, expected, this.names)) this.report(code, place, message);
  }

  private report(code: Problem['code'], place: Place, message: string): void {
    this.problems.push(problemOf(code, placeOf(place), message));
  }
}

const shown = /\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}/g;

/** Names of the variables that a text shows as `{{name}}`. */
export const shownIn = (text: string): readonly string[] =>
  text.includes('{{') ? Array.from(text.matchAll(shown), (match) => match[1] ?? '') : [];
