import { Presets, SingleBar } from 'cli-progress';
import { counted, duration, grouped } from './layout.js';
import type { Cli } from './cli.js';

export interface Progress {
  update(done: number, total: number): void;
  /** Takes the bar off; `done` says whether it reached its end. */
  stop(): void;
}

/** Where nobody looks at a bar, a line this often says how far it is. */
const LINE_EVERY_MS = 5_000;

/** A bar with rate and time to go, on the error stream so that the answer stays clean; lines where there is no terminal. */
export function progress({ terminal, now }: Cli, title: string, [one, unit]: readonly [one: string, many: string]): Progress {
  const started = now();
  let first: number | undefined;
  const rateAt = (done: number): number => {
    first ??= done;
    const seconds = (now() - started) / 1_000;
    return seconds <= 0 ? 0 : (done - first) / seconds;
  };
  const eta = (rate: number, left: number): string => (left === 0 ? 'done' : rate <= 0 ? '…' : `${duration((left / rate) * 1_000)} to go`);
  if (terminal.bars === undefined) {
    let said = started;
    let at = { done: 0, total: 0 };
    return {
      update(done, total) {
        rateAt(done);
        at = { done, total };
        if (now() - said < LINE_EVERY_MS) return;
        said = now();
        const rate = rateAt(done);
        terminal.err(
          `${title}: ${grouped(done)} of ${grouped(total)} ${unit}, ${grouped(Math.round(rate))}/s, ${eta(rate, total - done)}\n`,
        );
      },
      stop: () => terminal.err(`${title}: ${counted(at.done, one, unit)} in ${duration(now() - started)}\n`),
    };
  }
  const bar = new SingleBar(
    {
      stream: terminal.bars,
      format: `${title} {bar} {percentage}%  {done}/{all} ${unit}  {rate}/s  {eta_text}`,
      barsize: 20,
      fps: 10,
      hideCursor: true,
      forceRedraw: true,
    },
    Presets.shades_classic,
  );
  const payload = (done: number, total: number): object => {
    const rate = rateAt(done);
    return { done: grouped(done), all: grouped(total), rate: grouped(Math.round(rate)), eta_text: eta(rate, Math.max(0, total - done)) };
  };
  bar.start(1, 0, payload(0, 0));
  return {
    update(done, total) {
      bar.setTotal(Math.max(1, total));
      bar.update(total === 0 ? 1 : Math.min(done, total), payload(done, total));
    },
    stop: () => bar.stop(),
  };
}
