import type { Json } from '#lib/canonical';
import type { Actor, StreamId } from '#lib/decision';
import type { Offset } from '#lib/log';
import { isErrorCode } from '#lib/platform';
import { EngineFailure, NotOwner } from './engine-failure.js';
import type { StreamCommand, StreamState } from './stream-kind.js';

/** One command for one stream. Sending it again with the same `commandId` is always safe. */
export interface CommandRequest {
  readonly stream: StreamId;
  /** `c:<uuid>` from clients, `s:…` from the system. */
  readonly commandId: string;
  /** What the caller asked for, as it asked: with the actor it tells a retry from a reused id. */
  readonly digestInput: Json;
  readonly command: StreamCommand;
  readonly actor: Actor;
  readonly correlationId: string;
  readonly causationId: string | null;
  /** Trace context only; stored beside the record, never read. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How long the caller waits, in ms; the engine's default otherwise. */
  readonly deadlineMs?: number;
}

export type CommandOutcome =
  | {
      readonly kind: 'accepted';
      /** The command had taken effect before; `partition`, `offset`, `turn` and `version` are those of the first time. */
      readonly duplicate: boolean;
      readonly partition: number;
      readonly offset: Offset;
      readonly turn: number;
      readonly version: number;
      /** After this command, or for a duplicate as it is now. */
      readonly state: StreamState;
    }
  | {
      readonly kind: 'rejected';
      readonly code: string;
      readonly message: string;
      readonly details?: { readonly [key: string]: Json };
      /** As it is now: TURN_STALE shows the reader where the playthrough stands. */
      readonly state: StreamState | null;
    };

/** What `execute` answers or throws, as JSON for another node. `NOT_OWNER` is no code for callers: forwarding asks the next one. */
export type Reply = { readonly outcome: CommandOutcome } | { readonly failure: { readonly code: string; readonly message: string } };

export const encodeRequest = (request: CommandRequest): string => JSON.stringify(request);
export const encodeReply = (reply: Reply): string => JSON.stringify(reply);

/** @throws EngineFailure BAD_INPUT when the text is no request of this version. */
export function decodeRequest(text: string): CommandRequest {
  const value = parsed(text) as Partial<CommandRequest>;
  const whole =
    typeof value.stream === 'string' &&
    typeof value.commandId === 'string' &&
    value.digestInput !== undefined &&
    typeof value.command?.type === 'string' &&
    typeof value.actor?.id === 'string' &&
    typeof value.actor.role === 'string' &&
    typeof value.correlationId === 'string';
  if (!whole) throw new EngineFailure('BAD_INPUT', 'a forwarded command is not complete');
  return value as CommandRequest;
}

/** The outcome that the other node sent. @throws EngineFailure that it sent. */
export function decodeReply(text: string): CommandOutcome {
  const value = parsed(text) as Partial<{ outcome: CommandOutcome; failure: { code: string; message: string } }>;
  if (value.outcome !== undefined) return value.outcome;
  const { code = 'OUTCOME_UNKNOWN', message = 'the owner answered something else than an outcome' } = value.failure ?? {};
  if (code === 'NOT_OWNER') throw new NotOwner(message);
  throw new EngineFailure(isErrorCode(code) ? code : 'INTERNAL', message);
}

/** Runs a forwarded command and wraps whatever comes of it. */
export async function replyOf(outcome: Promise<CommandOutcome>): Promise<Reply> {
  try {
    return { outcome: await outcome };
  } catch (error) {
    if (error instanceof NotOwner) return { failure: { code: 'NOT_OWNER', message: error.message } };
    if (error instanceof EngineFailure) return { failure: { code: error.code, message: error.message } };
    return { failure: { code: 'INTERNAL', message: 'the command failed' } };
  }
}

function parsed(text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new EngineFailure('BAD_INPUT', 'a forwarded message is not JSON', { cause: error });
  }
  if (typeof value !== 'object' || value === null) throw new EngineFailure('BAD_INPUT', 'a forwarded message is not an object');
  return value;
}
