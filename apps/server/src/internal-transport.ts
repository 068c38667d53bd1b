import { timingSafeEqual } from 'node:crypto';
import { Agent, request } from 'undici';
import type { Pool } from 'pg';
import { decodeReply, EngineFailure, encodeRequest, NotOwner, type CommandOutcome, type CommandRequest, type Transport } from '#lib/engine';
import { errorCode } from '#lib/platform';

export const INTERNAL_PATH = '/internal/commands';
export const INTERNAL_SECRET_HEADER = 'x-fabula-internal';

/** Commands travel to the owner of their partition by HTTP, under a secret that the processes of one database share. */
export class InternalTransport implements Transport {
  private readonly agent = new Agent({ connections: 32, pipelining: 1, keepAliveTimeout: 10_000 });

  private constructor(private readonly secret: string) {}

  static async open(pool: Pool): Promise<InternalTransport> {
    const { rows } = await pool.query<{ secret: string }>('select secret from fabula.cluster');
    const secret = rows[0]?.secret;
    if (secret === undefined) throw new Error('the database has no cluster secret: its migrations did not finish');
    return new InternalTransport(secret);
  }

  async send(address: string, command: CommandRequest, deadlineMs: number): Promise<CommandOutcome> {
    const timeout = Math.max(1, Math.ceil(deadlineMs));
    const { statusCode, body } = await request(`${address}${INTERNAL_PATH}`, {
      method: 'POST',
      dispatcher: this.agent,
      headers: { 'content-type': 'application/json', [INTERNAL_SECRET_HEADER]: this.secret, 'x-correlation-id': command.correlationId },
      body: encodeRequest(command),
      headersTimeout: timeout,
      bodyTimeout: timeout,
    }).catch((error: unknown) => {
      // Nobody listens there: nothing was sent, so the outcome is known, and the next owner can be asked.
      if (errorCode(error) === 'ECONNREFUSED') throw new NotOwner(`the owner at ${address} cannot be reached`);
      throw error;
    });
    const text = await body.text();
    if (statusCode !== 200) throw new EngineFailure('OUTCOME_UNKNOWN', `the owner answered ${statusCode}`);
    return decodeReply(text);
  }

  /** Whether a request comes from a process of this database; compared in constant time. */
  knows(secret: string | string[] | undefined): boolean {
    const given = Buffer.from(typeof secret === 'string' ? secret : '');
    const wanted = Buffer.from(this.secret);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }

  close(): Promise<void> {
    return this.agent.close();
  }
}
