import { Presets, SingleBar } from 'cli-progress';
import { byteSize, counted, duration, grouped } from './layout.js';
import type { Cli } from './cli.js';

export interface Progress {
  update(done: number, total: number): void;
  /** Takes the bar off; `done` says whether it reached its end. */
  stop(): void;
}

/** How amounts are written: within the bar, and in a sentence. */
export interface Amounts {
  readonly short: (amount: number) => string;
  readonly full: (amount: number) => string;
}
export const things = (one: string, many = `${one}s`): Amounts => ({ short: grouped, full: (count) => counted(count, one, many) });
export const BYTES: Amounts = { short: byteSize, full: byteSize };

/** Where nobody looks at a bar, a line this often says how far it is. */
const LINE_EVERY_MS = 5_000;

/** Title, percentage, amounts, rate and time at their longest. */
const BESIDE_BAR = 70;

/** A bar with rate and time to go, on the error stream so that the answer stays clean; lines where there is no terminal. */
export function progress({ terminal, now }: Cli, title: string, amounts: Amounts): Progress {
  const started = now();
  let first: number | undefined;
  const rateAt = (done: number): number => {
    first ??= done;
    const seconds = (now() - started) / 1_000;
    return seconds <= 0 ? 0 : (done - first) / seconds;
  };
  const eta = (rate: number, left: number): string => (left === 0 ? 'done' : rate <= 0 ? '…' : `${duration((left / rate) * 1_000)} left`);
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
          `${title}: ${amounts.short(done)} of ${amounts.full(total)}, ${amounts.short(Math.round(rate))}/s, ${eta(rate, total - done)}\n`,
        );
      },
      stop: () => terminal.err(`${title}: ${amounts.full(at.done)} in ${duration(now() - started)}\n`),
    };
  }
  const bar = new SingleBar(
    {
      stream: terminal.bars,
      format: `${title} {bar} {percentage}%  {done} of {all}  {rate}/s  {eta_text}`,
      barsize: Math.max(5, Math.min(20, terminal.columns - BESIDE_BAR)),
      fps: 10,
      // Ctrl-C must end the command at once, and leave the terminal as it was: so nothing of it is switched.
      gracefulExit: false,
      hideCursor: false,
      linewrap: true,
      forceRedraw: true,
    },
    Presets.shades_classic,
  );
  const payload = (done: number, total: number): object => {
    const rate = rateAt(done);
    return {
      done: amounts.short(done),
      all: amounts.full(total),
      rate: amounts.short(Math.round(rate)),
      eta_text: eta(rate, Math.max(0, total - done)),
    };
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
