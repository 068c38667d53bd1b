import { forwardFinder } from './source-text.js';
import { MacroScanner, MAX_NESTED_READERS, unquoted, type RawPiece } from './foreign-scanner.js';
import { parseLink } from './twee-links.js';
import type { PassageSource } from './twee-reader.js';

/** Macros whose content does not simply run when the passage is entered. */
const LATER: ReadonlySet<string> = new Set(
  'for repeat timed switch case default linkappend linkprepend linkreplace append prepend replace type createplaylist done capture cycle listbox onchange notify dialog'.split(
    ' ',
  ),
);
/** Containers without meaning of their own here. */
const PLAIN: ReadonlySet<string> = new Set(['nobr', 'silently', 'silent']);

export class SugarCubeReader extends MacroScanner {
  protected readonly dialect = 'sugarcube' as const;
  private readonly findMacroClose: (at: number) => number;
  private ifs = 0;

  constructor(source: PassageSource, from?: number, end?: number, level?: number) {
    super(source, from, end, level);
    this.findMacroClose = forwardFinder(this.text, '>>');
  }

  protected override special(char: string): boolean {
    switch (char) {
      case '<':
        return this.text[this.at + 1] === '<' ? this.macro() : super.special(char);
      case '$':
      case '_':
        return this.shown();
      case '\\':
        return this.text[this.at + 1] === '\n' ? this.drop(this.at + 2) : false;
      case '/':
        return this.comment('/*', '*/') || this.comment('/%', '%/');
      case '[':
        return this.image() || super.special(char);
      default:
        return false;
    }
  }

  protected override finish(): void {
    for (; this.ifs > 0; this.ifs--) this.pieces.push({ kind: 'end-if', at: this.end });
  }

  private comment(open: string, close: string): boolean {
    if (!this.text.startsWith(open, this.at)) return false;
    const end = this.find(close, this.at + 2);
    if (end === -1) return false;
    this.skip('comment', this.text.slice(this.at, end + 2), 'comments are not kept', 'Keep them in the source.');
    return this.drop(end + 2);
  }

  private image(): boolean {
    const image = /\[img\[[^\]\n]{0,2000}\](?:\[[^\]\n]{0,2000}\])*\]/iy;
    image.lastIndex = this.at;
    const found = image.exec(this.text);
    if (found === null) return false;
    this.skip('html', found[0], 'pictures are not kept', 'Write a link as [[label->target]] if the picture was one.');
    return this.drop(image.lastIndex);
  }

  private macro(): boolean {
    const head = /<<(\/?)([A-Za-z][\w-]*|=|-)\s*/y;
    head.lastIndex = this.at;
    const found = head.exec(this.text);
    if (found === null) return false;
    const argsAt = head.lastIndex;
    const quoted = this.closing(argsAt, (char, at) => (char === '>' && this.text[at + 1] === '>' ? at : -1));
    const close = quoted !== -1 ? quoted : this.findMacroClose(argsAt);
    if (close === -1) {
      this.skip('macro', this.text.slice(this.at, this.at + 200), 'the macro is not closed', 'Close it with >>.');
      this.at += 2;
      return true;
    }
    const args = this.text.slice(argsAt, close).trim();
    const name = (found[2] as string).toLowerCase();
    return found[1] === '/' || name.startsWith('end')
      ? this.closeMacro(name.replace(/^end/, ''), close + 2)
      : this.openMacro(name, args, close + 2);
  }

  private closeMacro(name: string, next: number): true {
    if (name === 'if' && this.ifs > 0) {
      this.ifs--;
      return this.put({ kind: 'end-if', at: this.at }, next);
    }
    const open = this.unsafe.lastIndexOf(`<<${name}>>`);
    if (open !== -1) this.unsafe.splice(open);
    return this.drop(next);
  }

  private openMacro(name: string, args: string, next: number): true {
    switch (name) {
      case 'if':
        this.ifs++;
        return this.put({ kind: 'if', at: this.at, condition: this.condition(args) }, next);
      case 'elseif':
        return this.ifs === 0 ? this.unread(name, next) : this.put({ kind: 'else-if', at: this.at, condition: this.condition(args) }, next);
      case 'else':
        // `<<else if …>>` is an old way to write `<<elseif …>>`.
        if (this.ifs === 0) return this.unread(name, next);
        if (/^if\b/i.test(args)) return this.put({ kind: 'else-if', at: this.at, condition: this.condition(args.slice(2)) }, next);
        return this.put({ kind: 'else', at: this.at }, next);
      case 'set':
      case 'run':
        return this.putAll(this.assignments(args), next);
      case 'print':
      case '=':
      case '-': {
        const variable = /^[$_][A-Za-z_]\w*$/.exec(args)?.[0];
        if (variable !== undefined) return this.put({ kind: 'show', at: this.at, variable, source: this.text.slice(this.at, next) }, next);
        return this.unread(name, next, 'only a variable by itself can be shown');
      }
      case 'link':
      case 'button':
        return this.linkMacro(name, args, next);
      case 'script': {
        const close = this.find('<</script>>', next);
        const end = close === -1 ? this.end : close + '<</script>>'.length;
        this.skip('script', this.text.slice(this.at, end), 'code is never run', 'Express what it does by variables, guards and effects.');
        return this.drop(end);
      }
      case 'goto':
        return this.unread(name, next, 'it goes on without a choice', 'Make it a choice, or lead there directly.');
      case 'include':
      case 'display':
        return this.unread(name, next, 'it shows another passage within this one', 'Copy the text, or make the passage a storylet.');
      case 'back':
      case 'return':
        return this.unread(name, next, 'it leads to whatever passage was before', 'Name the passage, or use a storylet and `return`.');
      default:
        if (PLAIN.has(name)) return this.drop(next);
        if (LATER.has(name)) this.unsafe.push(`<<${name}>>`);
        return this.unread(name, next);
    }
  }

  private unread(
    name: string,
    next: number,
    reason = `the macro <<${name}>> has no counterpart`,
    hint = 'Write what it does by variables, guards, effects and choices.',
  ): true {
    this.skip('macro', this.text.slice(this.at, next), reason, hint);
    return this.drop(next);
  }

  /** `<<link "label" "target">>…<</link>>`: assignments inside become the choice's effects, a `<<goto>>` its target. */
  private linkMacro(name: string, args: string, next: number): true {
    const closing = `<</${name}>>`;
    const close = this.find(closing, next);
    const end = close === -1 ? next : close + closing.length;
    const square = /^\[\[([^\n]*?)\]\]/.exec(args);
    const words = [...args.slice(0, 4_000).matchAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|\S+/g)].map((match) => match[0]);
    const link =
      square === null
        ? { label: unquoted(words[0] ?? ''), target: words[1] === undefined ? '' : unquoted(words[1]) }
        : parseLink(square[1] as string);
    const inner = this.inner(next, close === -1 ? next : close);
    const target = link.target !== '' ? link.target : (inner.target ?? '');
    if (target === '') {
      this.skip(
        'link',
        this.text.slice(this.at, end),
        'it does not lead to a passage',
        'Make what it does a choice with effects that leads on.',
      );
      return this.drop(end);
    }
    return this.choice(unquoted(link.label), target, inner.assignments, end);
  }

  private inner(
    from: number,
    to: number,
  ): { readonly target?: string; readonly assignments: Extract<RawPiece, { kind: 'choice' }>['assignments'] } {
    const content = this.text.slice(from, to);
    const goto = /<<goto\s+(?:"([^"\n]{1,200})"|'([^'\n]{1,200})')\s*>>/i.exec(content);
    const target = goto?.[1] ?? goto?.[2];
    if (content.trim() === '') return { assignments: [] };
    if (this.level >= MAX_NESTED_READERS) {
      this.skip('macro', content, 'macros are nested too deeply', 'Write it by hand.', from);
      return { assignments: [] };
    }
    // The goto found is the link's target and needs no report of its own.
    const blanked = goto === null ? undefined : { from: from + goto.index, to: from + goto.index + goto[0].length };
    const pieces = [
      ...new SugarCubeReader(this.source, from, blanked?.from ?? to, this.level + 1).scan(),
      ...(blanked === undefined ? [] : new SugarCubeReader(this.source, blanked.to, to, this.level + 1).scan()),
    ];
    const conditional = pieces.some((piece) => piece.kind === 'if');
    if (conditional) this.skip('macro', content, 'a link with conditions inside is not read', 'Write one choice for each case.', from);
    const assignments = conditional ? [] : pieces.flatMap((piece) => (piece.kind === 'set' ? [piece.assignment] : []));
    const shown = pieces.filter((piece) => piece.kind === 'text' && piece.text.trim() !== '');
    if (shown.length > 0)
      this.skip('macro', content, 'text that appears on a click is not read', 'Put it into the passage that the link leads to.', from);
    return { ...(target !== undefined && !conditional && { target }), assignments };
  }
}
