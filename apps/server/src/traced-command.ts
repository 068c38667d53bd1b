import { partitionOf } from '#lib/decision';
import type { CommandOutcome, CommandRequest } from '#lib/engine';
import { FabulaError, type Tracing } from '#lib/platform';

/**
 * Runs a command inside a span that continues the request's trace; the record it leads to carries the span's context.
 * @param became told `accepted`, `duplicate` or the code of the refusal, also while tracing is off
 */
export async function tracedCommand(
  tracing: Tracing,
  request: CommandRequest,
  name: 'command' | 'forwarded command',
  partitions: number,
  run: (request: CommandRequest) => Promise<CommandOutcome>,
  became: (verdict: string) => void = () => undefined,
): Promise<CommandOutcome> {
  const span = tracing.start(`${name} ${request.command.type}`, {
    kind: name === 'command' ? 'internal' : 'server',
    parent: request.headers,
    attributes: tracing.on
      ? {
          'fabula.correlation_id': request.correlationId,
          'fabula.command_id': request.commandId,
          'fabula.stream': request.stream,
          'fabula.partition': partitionOf(request.stream, partitions),
        }
      : {},
  });
  try {
    const outcome = await run(span.headers === undefined ? request : { ...request, headers: span.headers });
    const verdict = outcome.kind === 'rejected' ? outcome.code : outcome.duplicate ? 'duplicate' : 'accepted';
    became(verdict);
    span.set({ 'fabula.verdict': verdict, ...(outcome.kind === 'accepted' && { 'fabula.offset': outcome.offset }) });
    span.end();
    return outcome;
  } catch (error) {
    const code = error instanceof FabulaError ? error.code : 'failed';
    if (error instanceof FabulaError) became(code);
    span.set({ 'fabula.verdict': code });
    span.end(code);
    throw error;
  }
}
