import { rows } from './rows.js';
import type { RowContext, RowReport } from './row.js';

export type RowOrder = Omit<RowContext, 'progress'> & { readonly row: string };
export type RowNews = { readonly progress: string } | { readonly reports: readonly RowReport[] } | { readonly failure: string };

/** One row in a process of its own: no other row's garbage, compiled code or open sockets. */
process.once('message', (message) => {
  const order = message as RowOrder;
  const tell = (news: RowNews): void => void process.send?.(news);
  void (async () => {
    const row = rows[order.row];
    if (row === undefined) throw new Error(`there is no row ${order.row}`);
    const run = await row.load();
    return run({ ...order, progress: (progress) => tell({ progress }) });
  })().then(
    (reports) => tell({ reports }),
    (error: unknown) => tell({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.once('disconnect', () => process.exit());
