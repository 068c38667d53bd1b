import { MacroScanner, MAX_NESTED_READERS, unquoted, type RawPiece } from './foreign-scanner.js';

const LATER: ReadonlySet<string> = new Set(
  'for loop live event after click link linkreveal linkrepeat replace append prepend mouseover mouseout clickreplace clickappend'.split(
    ' ',
  ),
);

/** Reads Harlowe: macros `(name: args)` and the hooks `[…]` behind them. */
export class HarloweReader extends MacroScanner {
  protected readonly dialect = 'harlowe' as const;
  /** What each open hook belongs to. */
  private readonly hooks: ('if' | 'later' | 'plain')[] = [];

  protected override special(char: string): boolean {
    switch (char) {
      case '(':
        return this.macro();
      case '$':
      case '_':
        return this.shown();
      case '[':
        if (super.special(char)) return true;
        // A hook with its name in front, |name>[ … ], or without any.
        this.hooks.push('plain');
        return false;
      case ']':
        return this.closeHook();
      case '<':
        return super.special(char);
      default:
        return false;
    }
  }

  protected override finish(): void {
    for (let hook = this.hooks.pop(); hook !== undefined; hook = this.hooks.pop())
      if (hook === 'if') this.pieces.push({ kind: 'end-if', at: this.end });
  }

  private closeHook(): boolean {
    const hook = this.hooks.pop();
    if (hook === undefined || hook === 'plain') return false;
    if (hook === 'later') {
      this.unsafe.pop();
      return this.drop(this.at + 1);
    }
    const next = /\]\s*(?=\((?:else-?if|elseif|else):)/iy;
    next.lastIndex = this.at;
    // The else that follows goes on with the same condition.
    const between = next.exec(this.text);
    if (between !== null) {
      this.flush(this.at);
      if (between[0].includes('\n')) this.pieces.push({ kind: 'text', at: this.at, text: '\n' });
      this.skipTo(next.lastIndex);
      this.continued = true;
      return true;
    }
    return this.put({ kind: 'end-if', at: this.at }, this.at + 1);
  }

  private continued = false;

  private macro(): boolean {
    const head = /\(([A-Za-z][\w-]*):/y;
    head.lastIndex = this.at;
    const found = head.exec(this.text);
    if (found === null) return false;
    let depth = 1;
    const close = this.closing(head.lastIndex, (char, at) => {
      if (char === '(') depth++;
      else if (char === ')' && --depth === 0) return at;
      return -1;
    });
    if (close === -1) {
      this.skip('macro', this.text.slice(this.at, this.at + 200), 'the macro is not closed', 'Close it with ).');
      this.at++;
      return true;
    }
    const args = this.text.slice(head.lastIndex, close).trim();
    const name = (found[1] as string).toLowerCase();
    const hook = /[ \t]*\[(?!\[)|[ \t]*\[(?=\[\[)/y;
    hook.lastIndex = close + 1;
    const next = hook.exec(this.text) === null ? undefined : hook.lastIndex;
    return this.read(name.replace(/-/g, ''), args, close + 1, next);
  }

  /** `end` is behind the macro, `hook` behind the bracket that opens its hook, if there is one. */
  private read(name: string, args: string, end: number, hook: number | undefined): true {
    const continued = this.continued;
    this.continued = false;
    switch (name) {
      case 'if':
      case 'unless':
        if (hook === undefined) return this.unread(name, end, 'a condition without a hook behind it is not read');
        return this.branch({ kind: 'if', at: this.at, condition: this.ifCondition(name, args) }, hook);
      case 'elseif':
      case 'else':
        if (hook === undefined || !continued) {
          if (continued) this.pieces.push({ kind: 'end-if', at: this.at });
          return this.unread(name, end, 'there is no condition before it');
        }
        return this.branch(
          name === 'else' ? { kind: 'else', at: this.at } : { kind: 'else-if', at: this.at, condition: this.condition(args) },
          hook,
        );
      case 'set':
        return this.putAll(this.assignments(args), end);
      case 'put':
        return this.putAll(this.assignments(args, this.at, true), end);
      case 'print': {
        const variable = /^[$_][A-Za-z_]\w*$/.exec(args)?.[0];
        if (variable !== undefined) return this.put({ kind: 'show', at: this.at, variable, source: this.text.slice(this.at, end) }, end);
        return this.unread(name, end, 'only a variable by itself can be shown', hook);
      }
      case 'linkgoto': {
        const words = [...args.slice(0, 4_000).matchAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g)].map((match) => unquoted(match[0]));
        const [label, target] = words;
        if (label === undefined) return this.unread(name, end, 'its label or target is put together at run time', hook);
        return this.choice(label, target ?? label, [], end);
      }
      case 'link':
      case 'linkreplace':
        return this.linkMacro(name, args, end, hook);
      case 'goto':
        return this.unread(name, end, 'it goes on without a choice', hook);
      case 'display':
        return this.unread(name, end, 'it shows another passage within this one', hook);
      default:
        return this.unread(name, end, `the macro (${name}:) has no counterpart`, hook);
    }
  }

  private ifCondition(name: string, args: string): ReturnType<HarloweReader['condition']> {
    const read = this.condition(args);
    return read === undefined || name === 'if' ? read : { ...read, condition: { kind: 'not', of: read.condition } };
  }

  private branch(piece: RawPiece, hook: number): true {
    this.hooks.push('if');
    return this.put(piece, hook);
  }

  private unread(name: string, end: number, reason: string, hook?: number): true {
    this.skip('macro', this.text.slice(this.at, end), reason, 'Write what it does by variables, guards, effects and choices.');
    if (hook === undefined) return this.drop(end);
    const later = LATER.has(name);
    if (later) this.unsafe.push(`(${name}:)`);
    this.hooks.push(later ? 'later' : 'plain');
    return this.drop(hook);
  }

  /** `(link: "label")[ … (goto: "target") ]`: assignments become the choice's effects. */
  private linkMacro(name: string, args: string, end: number, hook: number | undefined): true {
    const label = unquoted(args);
    let depth = 1;
    const close =
      hook === undefined
        ? -1
        : this.closing(hook, (char, at) => {
            if (char === '[') depth++;
            else if (char === ']' && --depth === 0) return at;
            return -1;
          });
    if (hook === undefined || close === -1 || label === args) return this.unread(name, end, 'it does not lead to a passage', hook);
    const goto = /\((?:goto|go-to):\s*(?:"([^"\n]{1,200})"|'([^'\n]{1,200})')\s*\)/i.exec(this.text.slice(hook, close));
    const target = goto?.[1] ?? goto?.[2];
    if (goto === null || target === undefined || this.level >= MAX_NESTED_READERS)
      return this.unread(name, end, 'it does not lead to a passage', hook);
    const pieces = [
      ...new HarloweReader(this.source, hook, hook + goto.index, this.level + 1).scan(),
      ...new HarloweReader(this.source, hook + goto.index + goto[0].length, close, this.level + 1).scan(),
    ];
    if (pieces.some((piece) => piece.kind === 'if')) return this.unread(name, end, 'a link with conditions inside is not read', hook);
    return this.choice(
      label,
      target,
      pieces.flatMap((piece) => (piece.kind === 'set' ? [piece.assignment] : [])),
      close + 1,
    );
  }
}
