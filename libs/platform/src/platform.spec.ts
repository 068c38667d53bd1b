import { correlationIdFrom } from './correlation.js';
import { errorCatalogue, errorReference, FabulaError, isErrorCode } from './errors.js';
import { createLogger } from './logger.js';
import { createMetrics } from './metrics.js';
import { systemIds, systemTimers } from './system.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('a correlation id', () => {
  test.each(['01ARZ3NDEKTSV4RRFFQ69G5FAV', '0af7651916cd43dd8448eb211c80319c', '6f1ed002-ab5d-4c1e-9b2b-000000000000'])(
    '%s is taken',
    (id) => {
      expect(correlationIdFrom(id)).toBe(id);
    },
  );

  test.each([undefined, '', 'ann@example.org', '81ARZ3NDEKTSV4RRFFQ69G5FAV', `0af7651916cd43dd8448eb211c80319c\n`, 'x'.repeat(1e6)])(
    'anything else gets a new one (%#)',
    (header) => {
      expect(correlationIdFrom(header)).toMatch(UUID);
    },
  );
});

describe('the log of the process', () => {
  test('is one JSON object a line, with the correlation id, and without secrets', () => {
    const lines: string[] = [];
    const logger = createLogger({ level: 'info', destination: { write: (line: string) => void lines.push(line) } });
    const request = { headers: { authorization: 'Bearer hunter2', accept: 'x' } };
    logger.child({ correlationId: 'c-1' }).info({ request, token: 'hunter2', error: new Error('broke') }, 'served');
    logger.debug('too quiet to be written');
    expect(lines).toHaveLength(1);
    const entry: unknown = JSON.parse(lines[0] ?? '');
    expect(entry).toMatchObject({ level: 'info', message: 'served', correlationId: 'c-1', request: { headers: { accept: 'x' } } });
    expect(entry).toHaveProperty('error.message', 'broke');
    expect(lines[0]).not.toContain('hunter2');
  });
});

describe('the error catalogue', () => {
  test('has every code that the API promises, and each says what to do', () => {
    const promised =
      'BAD_INPUT UNAUTHENTICATED FORBIDDEN STORY_NOT_FOUND STORY_RETIRED VERSION_NOT_FOUND PLAYTHROUGH_NOT_FOUND PLAYTHROUGH_ENDED PLAYTHROUGH_PARKED CHOICE_UNKNOWN CHOICE_LOCKED STATE_TOO_LARGE TURN_STALE COMMAND_REUSED LOG_UNAVAILABLE OUTCOME_UNKNOWN OVERLOADED RATE_LIMITED QUERY_TOO_COMPLEX TOO_LARGE NOT_YET_VISIBLE INTERNAL';
    for (const code of promised.split(' ')) {
      expect(isErrorCode(code)).toBe(true);
      expect(errorReference()).toContain(`## ${code}\n`);
    }
    for (const entry of Object.values(errorCatalogue)) {
      expect([entry.title, entry.cause, entry.remedy].every((text) => text.length > 4)).toBe(true);
      expect(entry.status).toBeGreaterThanOrEqual(400);
    }
  });

  test('gives an error its status, and a retryable one a time to wait', () => {
    expect(new FabulaError('OVERLOADED')).toMatchObject({ status: 503, retryable: true, retryAfterMs: 1000 });
    expect(new FabulaError('TURN_STALE', 'moved', { details: { turn: 3 } })).toMatchObject({
      status: 409,
      retryable: false,
      details: { turn: 3 },
    });
    expect(isErrorCode('toString')).toBe(false);
  });
});

describe('the system', () => {
  test('makes ids of the asked size', () => {
    expect(systemIds.uuid()).toMatch(UUID);
    expect(systemIds.hex(8)).toMatch(/^[0-9a-f]{16}$/);
    // Bytes are drawn many at a time: none is given out twice, and more than are drawn at once can be had.
    const drawn = Array.from({ length: 2_000 }, () => systemIds.hex(16));
    expect(new Set(drawn).size).toBe(2_000);
    expect(drawn.every((id) => /^[0-9a-f]{32}$/.test(id) && !/^(00){16}$/.test(id))).toBe(true);
    expect(systemIds.hex(5_000)).toMatch(/^[0-9a-f]{10000}$/);
  });

  test('does not fire a wait of months at once, and cancels', async () => {
    const fired: string[] = [];
    const cancel = systemTimers.after(2 ** 31 + 5, () => fired.push('months'));
    const cancelled = systemTimers.after(1, () => fired.push('cancelled'));
    cancelled();
    await new Promise<void>((resolve) => systemTimers.after(5, resolve));
    cancel();
    expect(fired).toEqual([]);
  });

  test('counts its own memory', async () => {
    expect(await createMetrics().metrics()).toContain('process_resident_memory_bytes');
  });
});
