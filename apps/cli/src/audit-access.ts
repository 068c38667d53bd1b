import type { AccessEntry } from '#lib/audit';
import type { Cli } from './cli.js';
import { connect, type ConnectionOptions } from './connection.js';
import { EXIT } from './exit-codes.js';
import { instant, json, oneLine, table } from './layout.js';

export interface AccessCommand {
  readonly actor?: string;
  readonly event?: string;
  readonly outcome?: string;
  readonly correlationId?: string;
  readonly playthrough?: string;
  readonly story?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit: number;
  readonly json?: true;
}

/** `GET /audit/access` */
interface AccessPage {
  readonly entries: readonly AccessEntry[];
  readonly next: string | null;
}

const PAGE = 1_000;

/** Who looked at what, newest first. */
export async function listAccesses(cli: Cli, options: AccessCommand & ConnectionOptions): Promise<number> {
  const { terminal } = cli;
  const http = await connect(cli, options);
  const { actor, event, outcome, correlationId, from, to } = options;
  const query = { actor, event, outcome, correlationId, playthroughId: options.playthrough, storyId: options.story, from, to };
  const entries: AccessEntry[] = [];
  let after: string | undefined;
  do {
    const page: AccessPage = await http.get('/audit/access', { ...query, first: Math.min(PAGE, options.limit - entries.length), after });
    entries.push(...page.entries);
    after = page.next ?? undefined;
  } while (after !== undefined && entries.length < options.limit);
  if (options.json) {
    terminal.out(json({ entries, more: after !== undefined }));
    return EXIT.ok;
  }
  terminal.out(
    table(terminal, entries, [
      { title: 'when', cell: ({ time }) => instant(Number(time)) },
      { title: 'event', cell: ({ event: what }) => what },
      { title: 'times', cell: ({ count }) => count ?? '1' },
      { title: 'by', cell: ({ actor: who, roles }) => (who === null ? '' : `${who} (${roles.join(', ')})`), flexible: true },
      { title: 'action', cell: ({ action }) => action, flexible: true },
      { title: 'what', cell: ({ target }) => targetText(target), flexible: true },
      { title: 'outcome', cell: ({ outcome: became }) => became, tone: ({ outcome: became }) => (became === 'ok' ? 'dim' : 'yellow') },
    ]),
  );
  return EXIT.ok;
}

const targetText = (target: AccessEntry['target']): string =>
  oneLine(
    Object.entries(target)
      .map(([name, value]) => `${name}=${value}`)
      .join(' '),
  );
