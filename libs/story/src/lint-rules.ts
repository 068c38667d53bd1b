import type { Problem, ProblemCode, ProblemPlace, Severity, TextPosition } from './problem.js';

/** One kind of finding. Problems, documentation pages and tests are made from this one list. */
export interface LintRule {
  readonly code: ProblemCode;
  readonly title: string;
  readonly severity: Severity;
  readonly why: string;
  /** Part of a story (native YAML) that shows it. */
  readonly example: string;
  readonly remedy: string;
}

const rule = (code: ProblemCode, severity: Severity, title: string, why: string, example: string, remedy: string): LintRule => ({
  code,
  severity,
  title,
  why,
  example,
  remedy,
});

/** Stable: a code is never given another meaning. G0xx: form and types; G1xx: references; G2xx: what play can reach. */
export const lintRules: readonly LintRule[] = [
  rule(
    'FAB-G001',
    'error',
    'Wrong form',
    'A field is missing or holds another kind of value than the format asks for.',
    'start: 12',
    'Compare with the JSON Schema of the native format and correct the field.',
  ),
  rule(
    'FAB-G002',
    'error',
    'Unknown field',
    'The format has no such field. It is refused rather than ignored, because a misspelt guard that is ignored opens a locked choice.',
    'choices:\n  - { id: enter, label: Enter, target: hall, enabledwhen: hasKey }',
    'Correct the spelling or take the field out.',
  ),
  rule(
    'FAB-G003',
    'error',
    'Beyond a limit',
    'Everything in a story is bounded, so that no story can exhaust a server.',
    'passages: { … 10,001 passages … }',
    'Make it smaller, or split the story.',
  ),
  rule(
    'FAB-G004',
    'error',
    'Not a valid name',
    'Names and ids are stored in events for ever and become keys, so they keep to a safe alphabet, and names that every object inherits are refused.',
    'variables: { __proto__: { type: bool, default: false } }',
    'Choose another name; the message says what may stand in it.',
  ),
  rule(
    'FAB-G005',
    'error',
    'Refused character',
    'U+0000 and halves of characters (lone surrogates) cannot be stored in every database or hashed the same everywhere.',
    'title: "\\u0000"',
    'Take the character out, or save the file as UTF-8.',
  ),
  rule(
    'FAB-G006',
    'error',
    'The same id twice',
    'Choices are known by their id within a passage and draws by theirs within the story; two of one id could not be told apart in the log.',
    'choices:\n  - { id: go, label: Left, target: left }\n  - { id: go, label: Right, target: right }',
    'Give each its own id.',
  ),
  rule(
    'FAB-G010',
    'error',
    'Expression cannot be read',
    'Guards and values are written in a small language with the syntax of CEL; this text does not follow it.',
    'enabledWhen: gold = 3',
    'Correct the expression at the position given.',
  ),
  rule(
    'FAB-G011',
    'error',
    'Expression too large',
    'Guards have at most 200 parts and are at most 20 deep: they run on every turn.',
    'enabledWhen: ((((((((((((((((((((((((…',
    'Group long chains with brackets, split the guard over several choices, or set a variable first.',
  ),
  rule(
    'FAB-G012',
    'error',
    'Types do not fit',
    'An operator or a field got a value of another type than it works on, so the result would have no meaning.',
    'enabledWhen: gold && hasKey',
    'Compare explicitly, e.g. `gold > 0 && hasKey`.',
  ),
  rule(
    'FAB-G013',
    'error',
    'Unknown variable',
    'The expression or effect names a variable that the story does not declare.',
    'enabledWhen: glod >= 3',
    'Declare the variable or correct its name.',
  ),
  rule(
    'FAB-G014',
    'error',
    'Unknown member',
    'An enum or set never holds this member, so comparing with it is a spelling mistake.',
    'enabledWhen: "door == \'opne\'"',
    'Use one of the declared values, or declare this one.',
  ),
  rule(
    'FAB-G020',
    'error',
    'Variable contradicts itself',
    'Bounds must be in order, values must not repeat, and the default must be among them.',
    'gold: { type: int, min: 0, max: 10, default: 11 }',
    'Correct bounds, values or default.',
  ),
  rule(
    'FAB-G021',
    'error',
    'Effect does not fit its variable',
    'Numbers are added, sets are inserted into and removed from, bool, int and enum are drawn; a member must be declared.',
    'effects:\n  - { add: hasKey, by: 1 }',
    'Use the effect that fits the type of the variable.',
  ),
  rule(
    'FAB-G022',
    'error',
    'Choice fields contradict its kind',
    'A timed choice needs `timeoutMs`, only a timed one may have it, and a passage has one timed choice at most.',
    'choices:\n  - { id: wait, label: Wait, kind: timed, target: hall }',
    'Add or remove `timeoutMs`, or merge the timed choices.',
  ),
  rule(
    'FAB-G101',
    'error',
    'Missing target',
    'The choice leads to a passage that does not exist.',
    'choices:\n  - { id: enter, label: Enter, target: hal }',
    'Write the passage or correct the target.',
  ),
  rule(
    'FAB-G102',
    'error',
    'Missing start',
    'The story starts at a passage that does not exist, or at a storylet.',
    'start: begining',
    'Let `start` name an ordinary passage.',
  ),
  rule(
    'FAB-G103',
    'error',
    'Undeclared ending',
    'Endings are listed with their titles under `endings`, so that readers and statistics can name them.',
    'target: { end: hapy }',
    'Declare the ending under `endings` or correct its id.',
  ),
  rule(
    'FAB-G104',
    'error',
    'Visits of an unknown passage',
    'The count of a passage that does not exist is always 0.',
    "visibleWhen: visits('celler') > 0",
    'Correct the passage id.',
  ),
  rule(
    'FAB-G105',
    'error',
    'Count of an unknown choice',
    'The count of a choice that does not exist is always 0. Choices are named `passage/choice`.',
    "visibleWhen: chosen('open') > 0",
    'Write `passage/choice` with the ids of an existing choice.',
  ),
  rule(
    'FAB-G106',
    'warning',
    'Hub without storylets',
    'The passage offers storylets of a tag that no storylet carries, so it never offers any.',
    'storylets: { tag: rumor, limit: 3 }',
    'Correct the tag, or give storylets (`offerWhen`) that tag.',
  ),
  rule(
    'FAB-G107',
    'warning',
    'Unknown name in the text',
    'The text shows `{{name}}`, but there is no such variable; readers would see the braces.',
    'text: You have {{glod}} coins.',
    'Correct the name or declare the variable.',
  ),
  rule(
    'FAB-G201',
    'warning',
    'Unreachable passage',
    'No way through the story, under any choices and draws, leads here.',
    'passages:\n  attic: { text: Dust., choices: [ … ] }   # no choice leads to attic',
    'Add a choice that leads here, correct a guard on the way, or remove the passage.',
  ),
  rule(
    'FAB-G202',
    'warning',
    'Dead end',
    'The passage has neither choices nor storylets nor an ending: a reader is stuck and the playthrough never ends.',
    'cellar: { text: It is dark. }',
    'Add a choice or an `ending`.',
  ),
  rule(
    'FAB-G203',
    'warning',
    'Guard never true',
    'For all values that the variables can take in play, the guard is false; what it guards never happens.',
    'gold: { type: int, min: 0, max: 10, default: 0 }\nenabledWhen: gold > 10',
    'Correct the guard, the bounds of the variables, or the effects that should make it true.',
  ),
  rule(
    'FAB-G204',
    'info',
    'Guard always true',
    'For all values that the variables can take in play, the guard is true; it can be left out.',
    'visibleWhen: gold >= 0',
    'Leave the guard out, or correct it.',
  ),
  rule(
    'FAB-G205',
    'warning',
    'Choices can run out',
    'Readers can come here again, and every choice can be used up or hidden: then nothing can be chosen and they are stuck.',
    'choices:\n  - { id: ask, label: Ask, target: hall, repeat: once }   # the only one',
    'Make one choice sticky and without a guard, or add a fallback.',
  ),
  rule(
    'FAB-G206',
    'warning',
    'Unused variable',
    'No guard, effect or text reads this variable.',
    'variables: { mood: { type: int, … } }',
    'Use it or remove it.',
  ),
  rule(
    'FAB-G207',
    'warning',
    'Variable never assigned',
    'The variable is read, but no effect that can happen ever changes it: it always has its default.',
    'visibleWhen: hasKey   # and nothing sets hasKey',
    'Add the effect that is missing, or write the value itself.',
  ),
  rule(
    'FAB-G208',
    'warning',
    'Effect out of bounds',
    'Whatever the state, the result lies outside the variable’s bounds and is cut to them (or, for `add`, nothing is ever added).',
    'gold: { type: int, min: 0, max: 10, default: 0 }\neffects:\n  - { set: gold, to: 50 }',
    'Correct the amount or the bounds.',
  ),
  rule(
    'FAB-G209',
    'warning',
    'No ending reachable',
    'No way leads from the start to any ending.',
    'endings: {}',
    'Give a passage an `ending`, or let a choice lead to `{ end: … }`.',
  ),
  rule(
    'FAB-G210',
    'warning',
    'Cycle without a choice',
    'These passages lead to each other only by fallback or timed choices: a reader goes round without ever deciding anything.',
    'a: { choices: [ { id: on, label: On, kind: fallback, target: b } ] }\nb: { choices: [ { id: on, label: On, kind: fallback, target: a } ] }',
    'Put a normal choice or an ending into the circle.',
  ),
  rule(
    'FAB-G211',
    'warning',
    'Storylet that no hub offers',
    'The passage is a storylet, but no hub asks for any of its tags and no choice leads to it.',
    'gossip: { tags: [rumour], offerWhen: "true", … }   # no hub has tag rumour',
    'Add one of the hubs’ tags, or remove `offerWhen`.',
  ),
  rule(
    'FAB-G212',
    'warning',
    'Ending never reached',
    'The ending is declared, but no way through the story ends with it.',
    'endings: { lost: { title: Lost } }',
    'Let a passage or a choice that can be reached end with it, or remove it.',
  ),
  rule(
    'FAB-G213',
    'info',
    'Same label twice',
    'Two choices that can stand side by side read the same; readers cannot tell them apart, and neither can a screen reader.',
    'choices:\n  - { id: north, label: Go on, target: a }\n  - { id: south, label: Go on, target: b }',
    'Word them differently.',
  ),
  rule(
    'FAB-G214',
    'warning',
    'Return with nowhere to go',
    '`return` goes back to the hub that offered the storylet, but this passage is not reached from any storylet.',
    'choices:\n  - { id: back, label: Back, target: return }',
    'Name a passage as the target, or reach this passage by a storylet.',
  ),
  rule(
    'FAB-G215',
    'info',
    'Analysis is partial',
    'Some guards read too many values to try all combinations; for them only what ranges prove is reported. Nothing reported is wrong, but something may be missing.',
    'visibleWhen: a + b + c + d > 7   # each from 0 to 100',
    'Nothing needs to be done; narrower bounds make the analysis complete.',
  ),
  rule(
    'FAB-G216',
    'warning',
    'Choices after an ending',
    'Entering the passage ends the playthrough, so its choices and storylets are never offered.',
    'grave: { ending: lost, choices: [ … ] }',
    'Remove the choices, or let them lead to a passage with the ending.',
  ),
];

const byCode: ReadonlyMap<string, LintRule> = new Map(lintRules.map((entry) => [entry.code, entry]));

/** The rule of a code. @throws RangeError for a code that is not in the catalogue. */
export function lintRule(code: ProblemCode): LintRule {
  const found = byCode.get(code);
  if (found === undefined) throw new RangeError(`${code} is not in the catalogue of problems`);
  return found;
}

/** A problem with its rule's severity and, unless told otherwise, its remedy. */
export function problemOf(
  code: ProblemCode,
  where: ProblemPlace,
  message: string,
  more: { help?: string; within?: TextPosition } = {},
): Problem {
  const { severity, remedy } = lintRule(code);
  return { code, severity, message, where, help: more.help ?? remedy, ...(more.within === undefined ? {} : { within: more.within }) };
}
