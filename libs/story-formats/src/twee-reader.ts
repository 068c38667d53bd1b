import type { Problem } from '#lib/story';
import {
  MAX_REPORT_ENTRIES,
  SOURCE_PROBLEMS,
  sourceProblem,
  type ImportWarning,
  type NotImported,
  type NotImportedKind,
} from './import-result.js';
import { excerpt, LineMap, type SourcePosition } from './source-text.js';
import type { TweePassage } from './twee-document.js';

/** Collects what an import has to say; lists are bounded, what goes beyond is counted and said. */
export class ImportReport {
  readonly notImported: NotImported[] = [];
  readonly warnings: ImportWarning[] = [];
  readonly problems: Problem[] = [];
  readonly counts = { passages: 0, links: 0, guards: 0, effects: 0, texts: 0 };
  private leftOut = 0;

  skip(entry: NotImported): void {
    if (this.notImported.length >= MAX_REPORT_ENTRIES) this.leftOut++;
    else this.notImported.push({ ...entry, text: excerpt(entry.text.trim()) });
  }

  warn(line: number, code: string, message: string): void {
    if (this.warnings.length < MAX_REPORT_ENTRIES) this.warnings.push({ line, code, message });
  }

  problem(at: SourcePosition, message: string, help: string, path = ''): void {
    if (this.problems.length < MAX_REPORT_ENTRIES) this.problems.push(sourceProblem(SOURCE_PROBLEMS.macro, at, message, help, path));
  }

  /** All that was not imported, the uncounted rest as one entry. */
  allNotImported(): readonly NotImported[] {
    if (this.leftOut === 0) return this.notImported;
    return [
      ...this.notImported,
      {
        line: 1,
        kind: 'macro',
        text: '…',
        reason: `${this.leftOut} more pieces were not imported`,
        hint: 'Work on those listed, then import again.',
      },
    ];
  }
}

/** One passage under a reader: its text, and places in it as places in the file. */
export class PassageSource {
  readonly text: string;
  private readonly lines: LineMap;

  constructor(
    readonly passage: TweePassage,
    /** Id in the story; names with forbidden characters get another. */
    readonly id: string,
    readonly report: ImportReport,
  ) {
    this.text = passage.text;
    this.lines = new LineMap(this.text);
  }

  at(offset: number): SourcePosition {
    const { line, column } = this.lines.at(offset);
    return { line: this.passage.line + line, column };
  }

  skip(offset: number, kind: NotImportedKind, text: string, reason: string, hint: string): void {
    this.report.skip({ line: this.at(offset).line, passage: this.passage.name, kind, text, reason, hint });
  }

  problem(offset: number, message: string, help: string): void {
    this.report.problem(this.at(offset), message, help);
  }
}
