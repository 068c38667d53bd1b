import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { errorText, type Clock } from '#lib/platform';
import { MAX_ADD_CHECKPOINT_BYTES, SIZE_TYPE } from './add-checkpoint.js';
import { originHash } from './witness-directory.js';
import type { Witness } from './witness.js';

export interface WitnessServerOptions {
  readonly witness: Witness;
  /** The witness's own key, for whoever sets up a policy. */
  readonly vkey: string;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly clock: Clock;
  /** Requests of one address per second, with ten times that at once; default 10. */
  readonly perSecond?: number;
  /** Told of what is neither the caller's nor the log's fault. */
  readonly onProblem: (problem: string) => void;
}

const PER_SECOND = 10;
const BURST = 10;
const MAX_ADDRESSES = 10_000;
const TEXT = 'text/plain; charset=utf-8';

/**
 * A witness over HTTP: `POST /add-checkpoint`; `GET /<SHA-256 of the origin>/checkpoint`, the newest note that it cosigned; `GET /` its key.
 * Callers need no login: what counts is the log's signature.
 */
export class WitnessServer {
  private readonly budgets = new Map<string, { left: number; at: number }>();
  private readonly byHash: ReadonlyMap<string, string>;

  private constructor(
    private readonly options: WitnessServerOptions,
    private readonly server: Server,
  ) {
    this.byHash = new Map(options.witness.origins.map((origin) => [originHash(origin), origin]));
  }

  static async listen(options: WitnessServerOptions): Promise<WitnessServer> {
    const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 30_000, maxHeaderSize: 8_192 });
    server.maxConnections = 512;
    const listening = new WitnessServer(options, server);
    server.on('request', (request, response) => void listening.answer(request, response));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port, options.host, () => {
        server.off('error', reject);
        resolve();
      });
    });
    return listening;
  }

  get url(): string {
    const { address, port, family } = this.server.address() as AddressInfo;
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  /** Ends when requests under way are answered. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeIdleConnections();
    });
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.route(request, response);
    } catch (error) {
      this.options.onProblem(errorText(error));
      // Nothing is said of the state: whether it was kept, the next request's 409 tells.
      if (response.headersSent) response.destroy();
      else send(response, 500, 'the witness could not do this now\n');
    }
  }

  private async route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { witness, vkey } = this.options;
    const { pathname } = new URL(request.url ?? '/', 'http://witness');
    if (!this.affordable(request.socket.remoteAddress ?? '')) {
      response.setHeader('retry-after', '1');
      return refuse(request, response, 429, 'too many requests\n');
    }
    if (pathname === '/add-checkpoint') {
      if (request.method !== 'POST') {
        response.setHeader('allow', 'POST');
        return refuse(request, response, 405, 'POST it\n');
      }
      const body = await readBody(request);
      if (body === undefined) return refuse(request, response, 413, `at most ${MAX_ADD_CHECKPOINT_BYTES} bytes\n`);
      const text = utf8(body);
      if (text === undefined) return send(response, 400, 'not UTF-8\n');
      const answer = await witness.addCheckpoint(text);
      if (answer.status === 200) return send(response, 200, answer.lines);
      if (answer.status === 409) return send(response, 409, `${answer.size}\n`, SIZE_TYPE);
      if (answer.status === 503) response.setHeader('retry-after', '1');
      return send(response, answer.status, `${answer.message}\n`);
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(request, response, 405, 'only GET\n');
    if (pathname === '/') return send(response, 200, `${vkey}\n`);
    const origin = this.byHash.get(/^\/([0-9a-f]{64})\/checkpoint$/.exec(pathname)?.[1] ?? '');
    const note = origin === undefined ? undefined : witness.latest(origin);
    if (note === undefined) return send(response, 404, 'there is nothing here\n');
    response.setHeader('cache-control', 'no-cache');
    send(response, 200, note);
  }

  /** A bucket per address. When too many addresses come, the longest quiet ones start anew. */
  private affordable(address: string): boolean {
    const now = this.options.clock.now();
    const perSecond = this.options.perSecond ?? PER_SECOND;
    const known = this.budgets.get(address);
    const full = perSecond * BURST;
    const left = known === undefined ? full : Math.min(full, known.left + (Math.max(0, now - known.at) / 1_000) * perSecond);
    this.budgets.delete(address);
    this.budgets.set(address, { left: Math.max(0, left - 1), at: now });
    for (const quiet of this.budgets.keys()) {
      if (this.budgets.size <= MAX_ADDRESSES) break;
      this.budgets.delete(quiet);
    }
    return left >= 1;
  }
}

/** Undefined: longer than any request may be. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_ADD_CHECKPOINT_BYTES) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function utf8(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // The caller answers 400; there is nothing more to know.
    return undefined;
  }
}

/** Without reading the rest of what was sent: the connection ends. */
function refuse(request: IncomingMessage, response: ServerResponse, status: number, text: string): void {
  response.setHeader('connection', 'close');
  send(response, status, text);
  response.once('finish', () => request.destroy());
}

function send(response: ServerResponse, status: number, text: string, type = TEXT): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text), 'x-content-type-options': 'nosniff' });
  response.end(text);
}
