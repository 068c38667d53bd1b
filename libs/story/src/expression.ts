/**
 * Guards and value expressions as stored and hashed: a typed AST. Text surface: a subset of CEL (reference: cel-spec langdef).
 * Integers are safe integers; overflow, division by zero are evaluation errors and never wrap.
 */
export type Expression =
  | { readonly op: 'bool'; readonly value: boolean }
  | { readonly op: 'int'; readonly value: number }
  /** Enum member or set member. */
  | { readonly op: 'string'; readonly value: string }
  /** A set of members, e.g. `['rope', 'lamp']`. */
  | { readonly op: 'set'; readonly members: readonly string[] }
  | { readonly op: 'var'; readonly name: string }
  /** How often a passage was entered in this playthrough. */
  | { readonly op: 'visits'; readonly passage: string }
  /** How often a choice (`passage/choice`) was chosen. */
  | { readonly op: 'chosen'; readonly choice: string }
  | { readonly op: 'turn' }
  | { readonly op: 'size'; readonly of: Expression }
  | { readonly op: '!' | 'neg'; readonly of: Expression }
  | { readonly op: BinaryOperator; readonly left: Expression; readonly right: Expression }
  | { readonly op: '?:'; readonly if: Expression; readonly then: Expression; readonly else: Expression };

export type BinaryOperator = '&&' | '||' | '==' | '!=' | '<' | '<=' | '>' | '>=' | '+' | '-' | '*' | '/' | '%' | 'in';

export const MAX_EXPRESSION_NODES = 200;
export const MAX_EXPRESSION_DEPTH = 20;
