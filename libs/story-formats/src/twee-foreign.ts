import { Untranslatable, type Foreign } from './foreign-expression.js';
import { ForeignVariables } from './foreign-variables.js';
import type { RawAssignment, RawCondition, RawPiece } from './foreign-scanner.js';
import { HarloweReader } from './harlowe-reader.js';
import { LinksOnlyReader } from './links-only-reader.js';
import { SugarCubeReader } from './sugarcube-reader.js';
import type { EffectDraft, Piece } from './twee-body.js';
import type { Guard } from './twee-clauses.js';
import type { Dialect } from './twee-dialect.js';
import type { PassageSource } from './twee-reader.js';
import type { AuthorVariable } from './twee-variables.js';

/*
 * Stories made for other formats: first all passages are read, then the types of all variables are known, then conditions and assignments
 * become guards and effects, or entries of the report.
 */

export interface ForeignPassages {
  /** One row for each source. */
  readonly pieces: readonly (readonly Piece[])[];
  readonly variables: { readonly [name: string]: AuthorVariable };
}

export function readForeignPassages(
  sources: readonly PassageSource[],
  dialect: Exclude<Dialect, 'fabula'>,
  initialisers: readonly PassageSource[],
  targetOf: (name: string) => string,
): ForeignPassages {
  const read = (source: PassageSource): readonly RawPiece[] => {
    if (dialect === 'sugarcube') return new SugarCubeReader(source).scan();
    if (dialect === 'harlowe') return new HarloweReader(source).scan();
    return new LinksOnlyReader(source, dialect).scan();
  };
  const variables = new ForeignVariables(targetOf);
  const first = initialisers.map((source) => ({ source, raw: read(source) }));
  const rows = sources.map((source) => ({ source, raw: read(source) }));
  for (const { source, raw } of first) learnDefaults(source, raw, variables);
  for (const { raw } of rows) for (const piece of raw) learn(piece, variables);
  const pieces = rows.map(({ source, raw }) => new Lowering(source, variables).row(raw));
  return { pieces, variables: variables.declarations() };
}

const literal = (value: Foreign): boolean => value.kind === 'bool' || value.kind === 'int' || value.kind === 'string';

/** Only plain values can be defaults; the rest of such a passage is reported. */
function learnDefaults(source: PassageSource, raw: readonly RawPiece[], variables: ForeignVariables): void {
  let conditional = 0;
  for (const piece of raw) {
    if (piece.kind === 'if') conditional++;
    else if (piece.kind === 'end-if') conditional--;
    else if (piece.kind === 'set') {
      const { assignment, source: text, at } = piece.assignment;
      if (conditional === 0 && literal(assignment.value)) {
        variables.learnDefault(assignment);
        source.report.counts.effects++;
      } else source.skip(at, 'assignment', text, 'the first value of a variable must be written out', 'Set it in the first passage.');
    } else if (piece.kind === 'choice') source.skip(piece.at, 'link', piece.label, 'the passage is never shown', 'Move the link.');
  }
}

function learn(piece: RawPiece, variables: ForeignVariables): void {
  if (piece.kind === 'set') variables.learnAssignment(piece.assignment.assignment);
  else if (piece.kind === 'choice') for (const { assignment } of piece.assignments) variables.learnAssignment(assignment);
  else if ((piece.kind === 'if' || piece.kind === 'else-if') && piece.condition !== undefined)
    variables.learnCondition(piece.condition.condition);
}

class Lowering {
  constructor(
    private readonly source: PassageSource,
    private readonly variables: ForeignVariables,
  ) {}

  row(raw: readonly RawPiece[]): readonly Piece[] {
    return raw.flatMap((piece): readonly Piece[] => {
      switch (piece.kind) {
        case 'show':
          return [{ kind: 'text', text: this.show(piece.variable, piece.source, piece.at) }];
        case 'choice': {
          const label = this.label(piece.label, piece.at);
          const effects = piece.assignments.flatMap((assignment) => this.effect(assignment) ?? []);
          this.source.report.counts.links++;
          return [
            { kind: 'choice', inline: label, choice: { ...this.source.at(piece.at), label, target: { passage: piece.target }, effects } },
          ];
        }
        case 'set': {
          const effect = this.effect(piece.assignment);
          return [effect === undefined ? { kind: 'nothing' } : { kind: 'effect', effect }];
        }
        case 'if':
        case 'else-if':
          return [{ kind: piece.kind, guard: this.guard(piece.condition, piece.at) }];
        default:
          return [piece];
      }
    });
  }

  private guard(condition: RawCondition | undefined, at: number): Guard | undefined {
    if (condition === undefined) return undefined;
    try {
      const text = this.variables.condition(condition.condition);
      this.source.report.counts.guards++;
      return { text, ...this.source.at(at), composed: true };
    } catch (error) {
      if (!(error instanceof Untranslatable)) throw error;
      this.source.skip(at, 'condition', condition.source, error.message, `${error.hint} Until then, what it guards is always there.`);
      return undefined;
    }
  }

  private effect({ assignment, source, at }: RawAssignment): EffectDraft | undefined {
    try {
      const effect = this.variables.effect(assignment);
      this.source.report.counts.effects++;
      return { effect, ...this.source.at(at) };
    } catch (error) {
      if (!(error instanceof Untranslatable)) throw error;
      this.source.skip(at, 'assignment', source, error.message, error.hint);
      return undefined;
    }
  }

  private show(variable: string, source: string, at: number): string {
    try {
      return this.variables.shown(variable);
    } catch (error) {
      if (!(error instanceof Untranslatable)) throw error;
      this.source.skip(at, 'macro', source, error.message, error.hint);
      return source;
    }
  }

  /** Variables in a choice's label are shown as in text. */
  private label(label: string, at: number): string {
    return label.slice(0, 1_000).replace(/\$[A-Za-z_]\w*(?![\w.[])/g, (variable) => this.show(variable, variable, at));
  }
}
