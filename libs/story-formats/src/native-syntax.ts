import type { Problem } from '#lib/story';
import { isAlias, isMap, isPair, isScalar, isSeq, Lexer, parseDocument, type Node, type Pair, type YAMLMap } from 'yaml';
import { SOURCE_PROBLEMS, sourceProblem } from './import-result.js';
import { jsonFault } from './json-fault.js';
import { firstForbiddenCharacter, LineMap, type SourcePosition } from './source-text.js';

/*
 * JSON and YAML to a plain value, by one reader: JSON is checked by JSON.parse first and then read as the YAML it is, for the
 * sake of positions. Refused before anything recursive runs: depth, anchors, aliases, tags, sheer number of tokens.
 */

/** Nesting of maps and lists; a story needs twelve. */
export const MAX_NESTING = 64;
/** Twice what a story of eight thousand passages has. */
export const MAX_TOKENS = 600_000;
const MAX_PROBLEMS = 200;

export interface NativeSource {
  readonly value: unknown;
  /** Where the value, or else the key or its nearest parent, stands. `pointer` is a JSON pointer; `within` an offset inside the text there. */
  locate(pointer: string, within?: { readonly offset: number; readonly line: number; readonly column: number }): SourcePosition;
}

export type ReadNative =
  { readonly ok: true; readonly source: NativeSource } | { readonly ok: false; readonly problems: readonly Problem[] };

export function readNative(format: 'json' | 'yaml', text: string): ReadNative {
  const lines = new LineMap(text);
  const fail = (...problems: readonly Problem[]): ReadNative => ({ ok: false, problems });
  const forbidden = firstForbiddenCharacter(text);
  if (forbidden !== -1) return fail(forbiddenCharacter(lines.at(forbidden)));
  const early = scanTokens(text, lines);
  if (early !== undefined) return fail(early);
  if (format === 'json') {
    const broken = jsonProblem(text, lines);
    if (broken !== undefined) return fail(broken);
  }
  // Keys are compared in our own walk: the library's own check is quadratic in a map's size.
  const document = parseDocument(text, { uniqueKeys: false, prettyErrors: false, logLevel: 'error', version: '1.2', schema: 'core' });
  if (document.errors.length > 0)
    return fail(
      ...document.errors
        .slice(0, MAX_PROBLEMS)
        .map((error) => sourceProblem(SOURCE_PROBLEMS.syntax, lines.at(error.pos[0]), error.message, 'Mend the YAML here.')),
    );
  const walk = new Walk(lines);
  const value = walk.plain(document.contents as Node | null, '');
  if (walk.problems.length > 0) return fail(...walk.problems);
  const pairs = new PairsByKey();
  return {
    ok: true,
    source: { value, locate: (pointer, within) => locate(text, lines, pairs, document.contents as Node | null, pointer, within) },
  };
}

const forbiddenCharacter = (at: SourcePosition, path = ''): Problem =>
  sourceProblem(
    SOURCE_PROBLEMS.character,
    at,
    'the text holds U+0000 or half of a character (a lone surrogate)',
    'Take the broken character out.',
    path,
  );

function jsonProblem(text: string, lines: LineMap): Problem | undefined {
  try {
    JSON.parse(text.replace(/^\uFEFF/, ''));
    return undefined;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const at = jsonFault(text);
    return sourceProblem(SOURCE_PROBLEMS.syntax, lines.at(at), `not JSON: ${message}`, 'Mend the JSON here.');
  }
}

/** One pass over the flat stream of tokens, so that hostile nesting never meets a recursive function. */
function scanTokens(text: string, lines: LineMap): Problem | undefined {
  const indents: number[] = [];
  let flow = 0;
  let dashes = 0;
  let atLineStart = true;
  let indent = 0;
  let offset = 0;
  let count = 0;
  // The marker in front of a plain scalar says that the next token is text, whatever it starts with.
  let scalarNext = false;
  let comma = false;
  for (const token of new Lexer().lex(text)) {
    if (++count > MAX_TOKENS)
      return sourceProblem(SOURCE_PROBLEMS.tooLarge, lines.at(offset), `the text has more than ${MAX_TOKENS} parts`, 'Split the story.');
    const first = token[0] as string;
    if (token === '\u0002' || token === '\u0018' || token === '\u001f') {
      scalarNext = token === '\u001f';
      // Control tokens take no room in the text, except where a scalar follows: then its line begins here.
      if (token !== '\u001f') continue;
    }
    if (atLineStart && flow === 0 && !/^[\s#]/.test(first)) {
      while (indents.length > 0 && (indents[indents.length - 1] as number) >= indent) indents.pop();
      indents.push(indent);
      dashes = 0;
      atLineStart = false;
    }
    if (token === '\u001f') {
      comma = false;
      continue;
    }
    if (scalarNext) {
      scalarNext = false;
      // A block scalar ends its line, a plain one does not.
      if (token.endsWith('\n')) {
        atLineStart = true;
        indent = 0;
      }
      offset += token.length;
      continue;
    }
    // The library makes an error object for each; a million of them take a minute.
    if (token === ',' && comma)
      return sourceProblem(SOURCE_PROBLEMS.syntax, lines.at(offset), 'nothing stands between two commas', 'Take one comma out.');
    if (first !== ' ' && first !== '\n' && first !== '\r' && first !== '#') comma = token === ',';
    if (first === '\n' || first === '\r') {
      atLineStart = true;
      indent = 0;
    } else if (first === ' ') {
      if (atLineStart) indent = token.length;
    } else if (token === '[' || token === '{') flow++;
    else if (token === ']' || token === '}') flow = Math.max(0, flow - 1);
    else if ((token === '-' || token === '?') && flow === 0) dashes++;
    else if (first === '&' || first === '*' || first === '!')
      return sourceProblem(
        SOURCE_PROBLEMS.yamlFeature,
        lines.at(offset),
        `anchors, aliases and tags are not read: ${token.slice(0, 40)}`,
        first === '*' || first === '&'
          ? 'Write the value out where it is needed, or put quotes around the text.'
          : 'Leave the tag away, or put quotes around the text.',
      );
    if (flow + dashes + indents.length > MAX_NESTING)
      return sourceProblem(SOURCE_PROBLEMS.tooDeep, lines.at(offset), `nested deeper than ${MAX_NESTING}`, 'A story needs no such depth.');
    offset += token.length;
  }
  return undefined;
}

class Walk {
  readonly problems: Problem[] = [];

  constructor(private readonly lines: LineMap) {}

  plain(node: Node | null, path: string): unknown {
    if (node === null || this.problems.length >= MAX_PROBLEMS) return null;
    if (isMap(node)) return this.map(node, path);
    if (isSeq(node)) return node.items.map((item, i) => this.plain(item as Node | null, `${path}/${i}`));
    if (isScalar(node)) return this.scalar(node, path);
    return this.refuse(
      SOURCE_PROBLEMS.yamlFeature,
      node,
      path,
      isAlias(node) ? 'aliases are not read' : 'this cannot be read',
      'Write the value out.',
    );
  }

  private map(node: Node, path: string): unknown {
    const result: { [key: string]: unknown } = {};
    const seen = new Set<string>();
    if (!isMap(node)) return result;
    for (const pair of node.items) {
      const key = isPair(pair) ? keyText(pair.key) : undefined;
      if (key === undefined) {
        this.refuse(
          SOURCE_PROBLEMS.key,
          isPair(pair) ? (pair.key as Node) : node,
          path,
          'a key must be plain text',
          'Put quotes around the key.',
        );
        continue;
      }
      const below = `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      if (key === '__proto__')
        this.refuse(SOURCE_PROBLEMS.key, pair.key as Node, path, 'the key __proto__ is refused', 'Use another name.');
      else if (seen.has(key))
        this.refuse(
          SOURCE_PROBLEMS.duplicateKey,
          pair.key as Node,
          below,
          `the key '${key.slice(0, 80)}' stands here twice`,
          'Keep one of them.',
        );
      else {
        if (firstForbiddenCharacter(key) !== -1) this.problems.push(forbiddenCharacter(this.position(pair.key as Node), below));
        seen.add(key);
        result[key] = this.plain(pair.value as Node | null, below);
      }
    }
    return result;
  }

  private scalar(node: Node, path: string): unknown {
    if (!isScalar(node)) return null;
    const { value } = node;
    if (typeof value === 'string') {
      if (firstForbiddenCharacter(value) !== -1) this.problems.push(forbiddenCharacter(this.position(node), path));
      return value;
    }
    if (typeof value === 'number') {
      if (!Number.isSafeInteger(value) || /[.eE]/.test(/^0x/i.test(node.source ?? '') ? '' : (node.source ?? '')))
        return this.refuse(
          SOURCE_PROBLEMS.number,
          node,
          path,
          `${node.source ?? value} is not a whole number of at most ${Number.MAX_SAFE_INTEGER}`,
          'Use a whole number, or put quotes around text that looks like a number.',
        );
      return value + 0;
    }
    if (typeof value === 'boolean' || value === null) return value;
    return this.refuse(SOURCE_PROBLEMS.yamlFeature, node, path, 'this kind of value is not read', 'Put quotes around it.');
  }

  private position(node: Node | null): SourcePosition {
    return this.lines.at(node?.range?.[0] ?? 0);
  }

  private refuse(
    code: (typeof SOURCE_PROBLEMS)[keyof typeof SOURCE_PROBLEMS],
    node: Node | null,
    path: string,
    message: string,
    help: string,
  ): null {
    this.problems.push(sourceProblem(code, this.position(node), message, help, path));
    return null;
  }
}

/** Numbers and booleans as keys are taken as they were written: `1:` is the passage '1'. */
function keyText(key: unknown): string | undefined {
  if (!isScalar(key)) return undefined;
  if (typeof key.value === 'string') return key.value;
  return key.source !== undefined && key.source !== '' ? key.source : undefined;
}

/** Thousands of findings may stand in one map of thousands of passages. */
class PairsByKey {
  private readonly known = new Map<YAMLMap, ReadonlyMap<string, Pair>>();

  get(map: YAMLMap, key: string): Pair | undefined {
    let pairs = this.known.get(map);
    if (pairs === undefined) {
      pairs = new Map(map.items.map((pair) => [keyText(pair.key) ?? '', pair]));
      this.known.set(map, pairs);
    }
    return pairs.get(key);
  }
}

function locate(
  text: string,
  lines: LineMap,
  pairsByKey: PairsByKey,
  root: Node | null,
  pointer: string,
  within: { readonly offset: number; readonly line: number; readonly column: number } | undefined,
): SourcePosition {
  const parts =
    pointer === ''
      ? []
      : pointer
          .slice(1)
          .split('/')
          .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  let node: Node | null = root;
  let offset = root?.range?.[0] ?? 0;
  for (const part of parts) {
    let next: Node | null | undefined;
    if (isMap(node)) {
      const pair = pairsByKey.get(node, part);
      next = pair?.value as Node | null | undefined;
      if (pair !== undefined) offset = (next ?? (pair.key as Node)).range?.[0] ?? offset;
    } else if (isSeq(node)) {
      next = node.items[Number(part)] as Node | null | undefined;
      offset = next?.range?.[0] ?? offset;
    }
    // What is missing is shown where it should stand: at its parent.
    if (next === undefined || next === null) return lines.at(offset);
    node = next;
  }
  if (within === undefined || !isScalar(node) || typeof node.value !== 'string') return lines.at(offset);
  return insideScalar(text, lines, node.type ?? 'PLAIN', offset, node.range?.[1] ?? offset, within);
}

function insideScalar(
  text: string,
  lines: LineMap,
  type: string,
  start: number,
  end: number,
  within: { readonly offset: number; readonly line: number; readonly column: number },
): SourcePosition {
  if (type === 'BLOCK_LITERAL' || type === 'BLOCK_FOLDED') {
    const first = text.indexOf('\n', start) + 1;
    const indent = /^[ ]*/.exec(text.slice(first, first + 1000))?.[0].length ?? 0;
    return { line: lines.at(first).line + within.line - 1, column: indent + within.column };
  }
  if (type === 'PLAIN') return lines.at(Math.min(end, start + within.offset));
  let at = start + 1;
  for (let i = 0; i < within.offset && at < end; i++) {
    if (type === 'QUOTE_SINGLE' && text.startsWith("''", at)) at += 2;
    else if (type === 'QUOTE_DOUBLE' && text[at] === '\\') at += text[at + 1] === 'u' ? 6 : text[at + 1] === 'x' ? 4 : 2;
    else at++;
  }
  return lines.at(Math.min(at, end));
}
