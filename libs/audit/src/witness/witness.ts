import type { Clock } from '#lib/platform';
import {
  checkConsistency,
  EMPTY_ROOT,
  formatNote,
  formatSignatureLines,
  MalformedNote,
  openNote,
  treeSize,
  UnverifiedNote,
  type CheckpointNote,
  type Cosigner,
  type Note,
  type NoteVerifier,
} from '../tlog/index.js';
import { MalformedRequest, originOfNote, parseAddCheckpoint, parseForeignCheckpoint, type AddCheckpoint } from './add-checkpoint.js';

/** One log that the witness knows, with every key that may sign for it. */
export interface WitnessedLog {
  readonly origin: string;
  readonly verifiers: readonly NoteVerifier[];
}

/** Where a witness keeps, per origin, the newest note that it cosigned: losing it would let a log tell a second history. */
export interface WitnessState {
  /** The note with its signatures and the cosignature; undefined when none was cosigned. */
  latest(origin: string): string | undefined;
  /** Ends when it would survive a loss of power. */
  keep(origin: string, note: string): Promise<void>;
}

export type WitnessAnswer =
  | { readonly status: 200; readonly lines: string }
  | { readonly status: 409; readonly size: bigint }
  | { readonly status: 400 | 403 | 404 | 422 | 503; readonly message: string };

export interface WitnessOptions {
  readonly cosigner: Cosigner;
  readonly logs: readonly WitnessedLog[];
  readonly state: WitnessState;
  readonly clock: Clock;
  /** Told of a note with a good signature that contradicts what was cosigned: evidence. */
  readonly onContradiction?: (contradiction: { readonly kept: string; readonly request: AddCheckpoint }) => void;
}

/** So many requests may wait for one log; more are told to come again. */
const MAX_WAITING = 16;

/** C2SP tlog-witness: cosigns a log's notes as long as each continues the one before. Requests of one origin are answered one after another. */
export class Witness {
  private readonly logs: ReadonlyMap<string, WitnessedLog>;
  private readonly turns = new Map<string, { waiting: number; last: Promise<unknown> }>();

  /** @throws MalformedNote, UnverifiedNote when what was kept is not what this witness cosigned */
  constructor(private readonly options: WitnessOptions) {
    this.logs = new Map(options.logs.map((log) => [log.origin, log]));
    if (this.logs.size !== options.logs.length) throw new RangeError('a log stands twice');
    for (const { origin } of options.logs) this.kept(origin);
  }

  get origins(): readonly string[] {
    return [...this.logs.keys()];
  }

  /** The newest note that it cosigned, with the cosignature. */
  latest(origin: string): string | undefined {
    return this.logs.has(origin) ? this.options.state.latest(origin) : undefined;
  }

  async addCheckpoint(body: string): Promise<WitnessAnswer> {
    let request: AddCheckpoint;
    let origin: string;
    try {
      request = parseAddCheckpoint(body);
      origin = originOfNote(request.note);
    } catch (error) {
      if (error instanceof MalformedRequest || error instanceof MalformedNote) return { status: 400, message: error.message };
      throw error;
    }
    const log = this.logs.get(origin);
    if (log === undefined) return { status: 404, message: 'this log is not known here' };
    let signed: Note;
    try {
      const opened = openNote(request.note, log.verifiers);
      // Only what was verified goes further: other signatures would be kept and served in this witness's name.
      signed = { text: opened.text, signatures: opened.verified };
    } catch (error) {
      if (error instanceof UnverifiedNote) return { status: 403, message: error.message };
      if (error instanceof MalformedNote) return { status: 400, message: error.message };
      throw error;
    }
    return this.inTurn(origin, () => this.checkAndSet(origin, request, signed));
  }

  private async checkAndSet(origin: string, request: AddCheckpoint, signed: Note): Promise<WitnessAnswer> {
    let next: CheckpointNote;
    try {
      next = parseForeignCheckpoint(signed.text);
    } catch (error) {
      if (error instanceof MalformedNote) return { status: 400, message: error.message };
      throw error;
    }
    const { old, proof } = request;
    if (old > next.size) return { status: 400, message: `old ${old} is larger than the checkpoint's ${next.size}` };
    const kept = this.kept(origin);
    const contradiction = (): void => this.options.onContradiction?.({ kept: this.options.state.latest(origin) ?? '', request });
    if (old !== (kept?.size ?? 0n)) return { status: 409, size: kept?.size ?? 0n };
    if (kept !== undefined && next.size === kept.size && !next.root.equals(kept.root)) {
      contradiction();
      return { status: 409, size: kept.size };
    }
    if (!continues(proof, next, kept)) {
      contradiction();
      return { status: 422, message: 'the proof does not show that this tree continues the one that was cosigned' };
    }
    const cosignature = this.options.cosigner.cosign(signed.text, Math.floor(this.options.clock.now() / 1_000));
    await this.options.state.keep(origin, formatNote({ text: signed.text, signatures: [...signed.signatures, cosignature] }));
    return { status: 200, lines: formatSignatureLines([cosignature]) };
  }

  private kept(origin: string): CheckpointNote | undefined {
    const note = this.options.state.latest(origin);
    if (note === undefined) return undefined;
    const kept = parseForeignCheckpoint(openNote(note, [this.options.cosigner.verifier]).text);
    if (kept.origin !== origin) throw new UnverifiedNote(`what was kept for ${origin} is a note of ${kept.origin}`);
    return kept;
  }

  private async inTurn(origin: string, work: () => Promise<WitnessAnswer>): Promise<WitnessAnswer> {
    const turn = this.turns.get(origin) ?? { waiting: 0, last: Promise.resolve() };
    if (turn.waiting >= MAX_WAITING) return { status: 503, message: 'too many requests for this log wait' };
    turn.waiting++;
    const mine = turn.last.then(work);
    // The next one's turn comes whatever became of this one; its caller is told.
    turn.last = mine.then(
      () => undefined,
      () => undefined,
    );
    this.turns.set(origin, turn);
    try {
      return await mine;
    } finally {
      turn.waiting--;
    }
  }
}

function continues(proof: AddCheckpoint['proof'], next: CheckpointNote, kept: CheckpointNote | undefined): boolean {
  // Every tree continues the empty one, and there is one empty tree: RFC 6962 has no proof for that.
  if (kept === undefined || kept.size === 0n) return proof.length === 0 && (next.size > 0n || next.root.equals(EMPTY_ROOT));
  return checkConsistency(proof, next.size, next.root, treeSize(kept.size), kept.root);
}
