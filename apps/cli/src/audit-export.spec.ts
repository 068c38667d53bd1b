import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Cli } from './cli.js';
import { recorded, type Recorded } from './testing/recorded.js';

const URL_AND_TOKEN = ['--url', 'http://fabula.test', '--token', 't'];
const BYTES = Buffer.from(Array.from({ length: 50_000 }, (_, n) => (n * 7) % 251));
const sha256 = createHash('sha256').update(BYTES).digest('hex');

describe('the download of an export', () => {
  let folder: string;
  beforeEach(() => void (folder = mkdtempSync(path.join(tmpdir(), 'fabula-download-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const out = (): string => path.join(folder, 'export.tar');
  const part = (): string => `${out()}.part`;

  /** Serves the file in answers that break after so many bytes; null: the server is not reached, or a proxy before it says so. Asked further, it sends all. */
  interface Serving {
    readonly breaks?: readonly (number | 'a proxy' | null)[];
    readonly ranges?: boolean;
    readonly bytes?: Buffer;
  }
  function serving({ breaks = [], ranges = true, bytes = BYTES }: Serving): { fetch: Cli['fetch']; asked: string[] } {
    const asked: string[] = [];
    let n = 0;
    const job = { id: 'e-1', state: 'done', leavesWritten: 3, leavesTotal: 3, error: null, file: { bytes: BYTES.length, sha256 } };
    const fetch: Cli['fetch'] = (input, init) => {
      const { pathname } = new URL(input as URL);
      const headers = new Headers(init?.headers);
      if (!pathname.endsWith('/download')) {
        asked.push(`${init?.method ?? 'GET'} ${pathname}`);
        return Promise.resolve(Response.json(job));
      }
      const from = ranges ? Number(/^bytes=(\d+)-$/.exec(headers.get('range') ?? '')?.[1] ?? 0) : 0;
      asked.push(`${from} ${headers.get('if-range') === null ? '' : 'if the same'}`.trim());
      const upTo = n < breaks.length ? breaks[n] : undefined;
      n++;
      if (upTo === 'a proxy') return Promise.resolve(new Response('bad gateway', { status: 502 }));
      if (upTo === null) return Promise.reject(new TypeError('fetch failed'));
      const rest = bytes.subarray(from, upTo === undefined ? undefined : from + upTo);
      const body = new ReadableStream<Uint8Array>(
        {
          start(controller) {
            for (let at = 0; at < rest.length; at += 4_096) controller.enqueue(new Uint8Array(rest.subarray(at, at + 4_096)));
          },
          pull(controller) {
            if (upTo === undefined) controller.close();
            else controller.error(new TypeError('terminated'));
          },
        },
        { highWaterMark: 0 },
      );
      const range = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
      return Promise.resolve(new Response(body, from === 0 ? {} : { status: 206, headers: range }));
    };
    return { fetch, asked };
  }
  const run = (serve: { fetch: Cli['fetch'] }, ...more: readonly string[]): Promise<Recorded> =>
    recorded(['audit', 'export', '--out', out(), ...more, ...URL_AND_TOKEN], { fetch: serve.fetch });

  test('is not for an export that is cancelled: that is asked for alone, by its id', async () => {
    const serve = serving({});
    const cancel = (...more: readonly string[]): Promise<Recorded> =>
      recorded(['audit', 'export', '--cancel', 'e-1', ...more, ...URL_AND_TOKEN], { fetch: serve.fetch });
    const { code, out: said } = await cancel();
    expect([code, serve.asked]).toEqual([0, ['DELETE /audit/exports/e-1']]);
    expect(said).toContain('e-1: its file was removed from the server');
    expect((await cancel('--out', out())).code).toBe(2);
    expect((await recorded(['audit', 'export', ...URL_AND_TOKEN], { fetch: serve.fetch })).code).toBe(2);
    expect(serve.asked).toHaveLength(1);
  });

  test('that breaks goes on where it stood, and is whole in the end', async () => {
    const serve = serving({ breaks: [10_000, 0, null, 'a proxy', 4_096] });
    expect((await run(serve)).code).toBe(0);
    expect(serve.asked).toEqual([
      'POST /audit/exports',
      '0',
      '10000 if the same',
      '10000 if the same',
      '10000 if the same',
      '10000 if the same',
      '14096 if the same',
    ]);
    expect(readFileSync(out()).equals(BYTES)).toBe(true);
    expect([existsSync(part()), statSync(out()).mode & 0o077]).toEqual([false, 0]);
  });

  test('begins anew where ranges are not known', async () => {
    const serve = serving({ breaks: [10_000], ranges: false });
    expect((await run(serve)).code).toBe(0);
    expect(readFileSync(out()).equals(BYTES)).toBe(true);
  });

  test('that is given up keeps what it has, and says how to go on; that run asks for the rest alone', async () => {
    const dead = serving({ breaks: [20_000, null, null, null, null, null, null, null] });
    const given = await run(dead);
    expect([given.code, given.err]).toEqual([3, expect.stringContaining(`--resume e-1 --out ${out()}`)]);
    expect([existsSync(out()), statSync(part()).size]).toEqual([false, 20_000]);
    const serve = serving({});
    const { code } = await run(serve, '--resume', 'e-1');
    expect([code, serve.asked]).toEqual([0, ['GET /audit/exports/e-1', '20000 if the same']]);
    expect(readFileSync(out()).equals(BYTES)).toBe(true);
    expect(existsSync(part())).toBe(false);
  });

  test('that goes on from another file, or gets other bytes, is never taken for the export', async () => {
    writeFileSync(part(), Buffer.alloc(10_000, 1));
    const wrong = await run(serving({}), '--resume', 'e-1');
    expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining('not what the server wrote')]);
    expect([existsSync(out()), existsSync(part())]).toEqual([false, false]);
    // More than the whole is no beginning of it.
    writeFileSync(part(), Buffer.alloc(BYTES.length + 1));
    expect((await run(serving({}), '--resume', 'e-1')).code).toBe(0);
    rmSync(out());
    const longer = await run(serving({ bytes: Buffer.concat([BYTES, BYTES]) }));
    expect([longer.code, existsSync(out()), existsSync(part())]).toEqual([1, false, false]);
  });

  test('of something ordered before takes no further wishes', async () => {
    for (const more of [['--actor', 'r'], ['--bodies'], ['--partition', '0'], ['--since', 'e-0'], ['--after', '2026-01-01T00:00:00Z']])
      expect((await run(serving({}), '--resume', 'e-1', ...more)).code).toBe(2);
  });
});
