import { ForeignScanner } from './foreign-scanner.js';
import type { Dialect } from './twee-dialect.js';
import type { PassageSource } from './twee-reader.js';

/** Chapbook, Snowman and formats without a name: links are read, what else stands there is reported. */
export class LinksOnlyReader extends ForeignScanner {
  constructor(
    source: PassageSource,
    private readonly dialect: Dialect,
  ) {
    super(source);
    if (dialect === 'chapbook') this.variablesSection();
  }

  protected override special(char: string): boolean {
    if (this.dialect === 'snowman' && char === '<' && this.text[this.at + 1] === '%') return this.template();
    if (this.dialect === 'chapbook') {
      if (char === '[' && (this.at === 0 || this.text[this.at - 1] === '\n') && this.modifier()) return true;
      if (char === '{') return this.insert();
    }
    return super.special(char);
  }

  private template(): boolean {
    const close = this.find('%>', this.at);
    const end = close === -1 ? this.end : close + 2;
    this.skip('script', this.text.slice(this.at, end), 'code is never run', 'Express what it does by variables, guards and effects.');
    return this.drop(end);
  }

  /** Chapbook: assignments above a line `--`. */
  private variablesSection(): void {
    const end = /^--$/m.exec(this.text);
    if (end === null) return;
    this.skip('assignment', this.text.slice(0, end.index), 'Chapbook is read for its links only', 'Write {% set name = value %}.');
    this.drop(end.index + 2);
  }

  private modifier(): boolean {
    const line = /\[([^[\]\n]{1,500})\](?=[ \t]*(?:\n|$))/y;
    line.lastIndex = this.at;
    const found = line.exec(this.text);
    if (found === null) return false;
    const code = /^\s*(javascript|css)\b/i.exec(found[1] as string)?.[1]?.toLowerCase();
    if (code === undefined) {
      this.skip('macro', found[0], 'Chapbook is read for its links only; the text below stays', 'Write {% if … %} around it.');
      return this.drop(line.lastIndex);
    }
    const next = /\n\[[^[\]\n]{1,500}\][ \t]*(?=\n|$)/g;
    next.lastIndex = line.lastIndex;
    const end = next.exec(this.text)?.index ?? this.end;
    this.skip(
      code === 'css' ? 'style' : 'script',
      this.text.slice(this.at, end),
      code === 'css' ? 'styles belong to the player' : 'code is never run',
      'Leave it away.',
    );
    return this.drop(end);
  }

  private insert(): boolean {
    const insert = /\{[A-Za-z_][^{}\n]{0,500}\}/y;
    insert.lastIndex = this.at;
    const found = insert.exec(this.text);
    if (found === null) return false;
    this.skip('macro', found[0], 'Chapbook is read for its links only', 'Show a variable as {{name}}; write links as [[label->target]].');
    return this.drop(insert.lastIndex);
  }
}
