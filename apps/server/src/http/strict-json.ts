/** JSON that a lenient parser would accept and two programs would read differently. `at` is a path like `input.turn`. */
export class NotStrictJson extends Error {
  override readonly name = 'NotStrictJson';
  constructor(
    message: string,
    readonly at: string,
  ) {
    super(at === '' ? message : `${message} at ${at}`);
  }
}

export const MAX_JSON_DEPTH = 32;

/**
 * Parses a request body. Beyond RFC 8259 it refuses repeated keys, `__proto__`, U+0000, lone surrogates and nesting over 32:
 * each of them has been a way to make two layers see different requests.
 * @throws NotStrictJson
 */
export function parseStrictJson(text: string): unknown {
  const scan = new Scan(text);
  const value = scan.value('', 0);
  scan.end();
  return value;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WHITESPACE = /[ \t\n\r]*/y;
// oxlint-disable-next-line no-control-regex -- control characters are what is refused
const PLAIN_STRING = /[^"\\\u0000-\u001f]*/y;

class Scan {
  private at = 0;
  constructor(private readonly text: string) {}

  value(path: string, depth: number): unknown {
    this.space();
    const next = this.text[this.at];
    if (next === '{') return this.object(path, depth + 1);
    if (next === '[') return this.array(path, depth + 1);
    if (next === '"') return this.string(path);
    for (const [word, meaning] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return meaning;
      }
    }
    const digits = this.match(NUMBER);
    if (digits === '') throw this.wrong('not JSON', path);
    return Number(digits);
  }

  end(): void {
    this.space();
    if (this.at !== this.text.length) throw this.wrong('text after the end of the JSON value', '');
  }

  private object(path: string, depth: number): Record<string, unknown> {
    this.enter(path, depth);
    const object: Record<string, unknown> = {};
    if (this.closes('}')) return object;
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') throw this.wrong('a key is missing', path);
      const key = this.string(path);
      const inner = path === '' ? key : `${path}.${key}`;
      if (key === '__proto__') throw this.wrong('the key __proto__ is refused', path);
      if (Object.hasOwn(object, key)) throw this.wrong(`the key ${JSON.stringify(key).slice(0, 80)} stands twice`, path);
      this.space();
      if (this.text[this.at++] !== ':') throw this.wrong('a colon is missing', inner);
      object[key] = this.value(inner, depth);
      if (this.closes('}')) return object;
      if (this.text[this.at++] !== ',') throw this.wrong('a comma is missing', inner);
    }
  }

  private array(path: string, depth: number): unknown[] {
    this.enter(path, depth);
    const array: unknown[] = [];
    if (this.closes(']')) return array;
    for (;;) {
      array.push(this.value(`${path}[${array.length}]`, depth));
      if (this.closes(']')) return array;
      if (this.text[this.at++] !== ',') throw this.wrong('a comma is missing', path);
    }
  }

  private string(path: string): string {
    const start = this.at++;
    let escaped = false;
    for (;;) {
      this.match(PLAIN_STRING);
      const next = this.text[this.at];
      if (next === '"') break;
      if (next !== '\\') throw this.wrong(next === undefined ? 'a text does not end' : 'a control character stands in a text', path);
      escaped = true;
      this.at += 2;
    }
    this.at++;
    let value: string;
    try {
      value = escaped ? (JSON.parse(this.text.slice(start, this.at)) as string) : this.text.slice(start + 1, this.at - 1);
    } catch {
      throw this.wrong('an escape sequence is wrong', path);
    }
    if (value.includes('\u0000')) throw this.wrong('U+0000 is refused', path);
    if (!value.isWellFormed()) throw this.wrong('a lone surrogate is refused', path);
    return value;
  }

  private enter(path: string, depth: number): void {
    if (depth > MAX_JSON_DEPTH) throw this.wrong(`nested deeper than ${MAX_JSON_DEPTH}`, path.slice(0, 80));
    this.at++;
  }
  private closes(bracket: '}' | ']'): boolean {
    this.space();
    if (this.text[this.at] !== bracket) return false;
    this.at++;
    return true;
  }
  private space(): void {
    this.match(WHITESPACE);
  }
  private match(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? '';
    this.at += found.length;
    return found;
  }
  private wrong(message: string, path: string): NotStrictJson {
    return new NotStrictJson(`${message} (character ${this.at})`, path.slice(0, 200));
  }
}
