import {
  MalformedNote,
  openNote,
  parseDecimal,
  parseSignatureLines,
  withSignatures,
  type NoteSignature,
  type NoteVerifier,
} from '../tlog/index.js';
import { formatAddCheckpoint, SIZE_TYPE, type AddCheckpoint } from './add-checkpoint.js';
import { originHash } from './witness-directory.js';

/** The witness cannot be asked now, or answered with something that no witness answers. */
export class WitnessUnavailable extends Error {
  override readonly name = 'WitnessUnavailable';
}

export type WitnessReply =
  | { readonly kind: 'cosigned'; readonly signature: NoteSignature }
  /** It cosigned a tree of this size last. */
  | { readonly kind: 'conflict'; readonly size: bigint }
  | { readonly kind: 'refused' };

const WITHIN_MS = 10_000;
const MAX_ANSWER = 256 * 1024;

/** A witness as its log asks it. */
export class WitnessClient {
  constructor(
    /** Submission and monitoring prefix. */
    private readonly url: string,
    private readonly verifier: NoteVerifier,
    private readonly fetch: typeof globalThis.fetch,
  ) {}

  /** @throws WitnessUnavailable */
  async addCheckpoint(request: AddCheckpoint, signal: AbortSignal): Promise<WitnessReply> {
    const { status, type, text } = await this.ask('add-checkpoint', signal, formatAddCheckpoint(request));
    if (status === 422) return { kind: 'refused' };
    if (status === 409) {
      const size = type === SIZE_TYPE && text.endsWith('\n') ? parseDecimal(text.slice(0, -1)) : undefined;
      if (size === undefined) throw new WitnessUnavailable('it answered 409 without a size');
      return { kind: 'conflict', size };
    }
    if (status !== 200) throw new WitnessUnavailable(`it answered ${status}: ${JSON.stringify(text.slice(0, 200))}`);
    return { kind: 'cosigned', signature: this.cosignature(request.note, text) };
  }

  /** The newest note of that origin that it shows with its own cosignature; undefined when it shows none. @throws WitnessUnavailable */
  async latest(origin: string, signal: AbortSignal): Promise<string | undefined> {
    const { status, text } = await this.ask(`${originHash(origin)}/checkpoint`, signal);
    if (status === 404) return undefined;
    if (status !== 200) throw new WitnessUnavailable(`it answered ${status} when asked for its note`);
    return text;
  }

  private cosignature(note: string, lines: string): NoteSignature {
    try {
      const { name, keyId } = this.verifier;
      const { verified } = openNote(
        withSignatures(
          note,
          parseSignatureLines(lines).filter((one) => one.name === name && one.keyId === keyId),
        ),
        [this.verifier],
      );
      return verified[0] as NoteSignature;
    } catch (error) {
      throw new WitnessUnavailable(
        `its answer is no cosignature by its key: ${error instanceof MalformedNote ? error.message : String(error)}`,
      );
    }
  }

  private async ask(path: string, signal: AbortSignal, body?: string): Promise<{ status: number; type: string; text: string }> {
    const within = AbortSignal.any([signal, AbortSignal.timeout(WITHIN_MS)]);
    try {
      const response = await this.fetch(`${this.url}/${path}`, {
        redirect: 'error',
        signal: within,
        ...(body === undefined ? {} : { method: 'POST', body, headers: { 'content-type': 'text/plain; charset=utf-8' } }),
      });
      return {
        status: response.status,
        type: (response.headers.get('content-type') ?? '').split(';')[0]?.trim() ?? '',
        text: await bounded(response),
      };
    } catch (error) {
      if (error instanceof WitnessUnavailable) throw error;
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : '';
      throw new WitnessUnavailable(`it cannot be reached: ${String(error)}${cause === '' ? '' : ` (${cause})`}`);
    }
  }
}

async function bounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  if (response.body !== null)
    for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
      length += part.length;
      if (length > MAX_ANSWER) throw new WitnessUnavailable(`it answered with more than ${MAX_ANSWER} bytes`);
      parts.push(part);
    }
  return Buffer.concat(parts).toString('utf8');
}
