import { compileExpression, parseExpression, type CompiledExpression, type Scope } from '#lib/story';
import { perCpuSecond } from '../measure/cpu-timed.js';
import { interleaved, type Sample } from '../measure/rounds.js';
import { verify, type Row } from '../row.js';

/** Guards of the kinds that stories have, each beside the closure that somebody would write by hand. */
const pairs: readonly { readonly text: string; readonly byHand: (scope: Scope) => boolean }[] = [
  { text: 'gold >= 5 && lamp', byHand: ({ variables: v }) => (v['gold'] as number) >= 5 && (v['lamp'] as boolean) },
  {
    text: "visits('hall') > 1 || mood == 'calm'",
    byHand: ({ variables: v, visits }) => (visits['hall'] ?? 0) > 1 || v['mood'] === 'calm',
  },
  {
    text: "'rope' in bag && gold % 3 == 1",
    byHand: ({ variables: v }) => (v['bag'] as readonly string[]).includes('rope') && (v['gold'] as number) % 3 === 1,
  },
  {
    text: "!lamp && gold + 2 * courage < 20 && chosen('hall/wait') == 0",
    byHand: ({ variables: v, chosen }) =>
      !(v['lamp'] as boolean) && (v['gold'] as number) + 2 * (v['courage'] as number) < 20 && (chosen['hall/wait'] ?? 0) === 0,
  },
];

/** What was never counted has no key. */
function counts(key: string, count: number): Scope['visits'] {
  return count === 0 ? {} : { [key]: count };
}

/** Scopes that make every guard true and false. */
const scopes = Array.from({ length: 64 }, (_, n): Scope => ({
  variables: {
    gold: n % 11,
    courage: n % 7,
    lamp: (n & 4) === 0,
    mood: n % 5 === 0 ? 'calm' : 'wild',
    bag: (n & 2) === 0 ? ['map', 'rope'] : ['map'],
  },
  visits: counts('hall', (n & 8) === 0 ? 0 : n % 4),
  chosen: counts('hall/wait', (n & 16) === 0 ? 0 : n % 2),
  turn: n,
}));

/** Evaluating a compiled guard beside a closure written by hand. */
export const guard: Row = async (context) => {
  const compiled = pairs.map(({ text }) => compiledGuard(text));
  for (const [index, { text, byHand }] of pairs.entries()) {
    const results = scopes.map((scope) => byHand(scope));
    verify(`"${text}" is true and false among the scopes`, results.includes(true) && results.includes(false));
    verify(
      `"${text}" says the same as the closure`,
      scopes.every((scope, n) => compiled[index]?.evaluate(scope) === results[n]),
    );
  }
  const ms = context.seconds * 1000;
  const truths = { fabula: new Set<number>(), floor: new Set<number>() };
  const { sides, foreignCpu } = await interleaved(
    {
      fabula: async () =>
        timed(ms, truths.fabula, (scope) => {
          let truth = 0;
          for (const expression of compiled) if (expression.evaluate(scope)) truth++;
          return truth;
        }),
      floor: async () =>
        timed(ms, truths.floor, (scope) => {
          let truth = 0;
          for (const { byHand } of pairs) if (byHand(scope)) truth++;
          return truth;
        }),
    },
    { rounds: context.rounds, onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${value.toFixed(1)} ns`) },
  );
  return [
    {
      row: 'guard',
      unit: 'CPU ns per guard',
      goals: [{ to: 'floor', atMost: 3 }],
      sides,
      foreignCpu,
      verified: [
        `${pairs.length} guards give what their closures give on ${scopes.length} scopes, true and false`,
        verify(
          'each pass counted as many true guards',
          [...truths.fabula, ...truths.floor].every((count, _, all) => count === all[0]),
        ),
      ],
      floor: 'closures written by hand, which check no types and no overflow',
    },
  ];
};

function compiledGuard(text: string): CompiledExpression<boolean> {
  const parsed = parseExpression(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.problem.message}`);
  return compileExpression<boolean>(parsed.expression);
}

const PASSES = 1_000;

function timed(ms: number, truths: Set<number>, evaluate: (scope: Scope) => number): Sample {
  const { value, operations } = perCpuSecond(ms, () => {
    let truth = 0;
    for (let pass = 0; pass < PASSES; pass++) for (const scope of scopes) truth += evaluate(scope);
    truths.add(truth);
    return PASSES * scopes.length * pairs.length;
  });
  return { value: 1e9 / value, operations };
}
