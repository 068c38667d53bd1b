import { COMPLIANCE_STREAM, type ComplianceCommand, type ComplianceState } from '#lib/compliance';
import { WINDOW_SIZE, type Actor } from '#lib/decision';
import type { CommandOutcome, CommandRequest } from './command.js';
import { failure, fixture, freshCommandId, type Fixture } from './testing/fixture.js';

const DORA: Actor = { id: 'r-dora', role: 'dpo' };
const OLAF: Actor = { id: 'r-olaf', role: 'operator' };

function request(actor: Actor, command: ComplianceCommand): CommandRequest {
  const digestInput = JSON.parse(JSON.stringify(command)) as CommandRequest['digestInput'];
  return { stream: COMPLIANCE_STREAM, commandId: freshCommandId(), digestInput, command, actor, correlationId: 'c', causationId: null };
}
async function accepted(outcome: Promise<CommandOutcome>): Promise<Extract<CommandOutcome, { kind: 'accepted' }>> {
  const answer = await outcome;
  if (answer.kind !== 'accepted') throw new Error(`rejected: ${answer.code} ${answer.message}`);
  return answer;
}
const idOf = (letter: string, n: number): string => `${letter}-${n.toString(16).padStart(16, '0')}`;
const glass = (id: string, until: number): CommandRequest =>
  request(OLAF, { type: 'breakGlass', id, reason: 'to look inside', until, correlationId: 'c' });
const closed = (id: string): CommandRequest => request(OLAF, { type: 'closeGlass', id });
/** So many other commands, an even number. */
async function others({ engine, time, cold }: Fixture, count: number): Promise<void> {
  for (let n = 1; n <= count / 2; n++) {
    await cold.project();
    await accepted(engine.execute(glass(idOf('b', n), time.now() + 60_000)));
    await accepted(engine.execute(closed(idOf('b', n))));
  }
}

describe('A command of which nothing in the state tells any more', () => {
  it('takes effect once also when it is sent again after the head has forgotten it', async () => {
    const fix = fixture();
    const { engine, cold, log, time } = fix;
    await engine.start();
    const proposal = request(DORA, {
      type: 'propose',
      action: { kind: 'erase', id: idOf('a', 1), subject: 'r-anna', legalBasis: 'GDPR 17(1)(b)' },
      reason: 'asked for it',
      expiresAt: time.now() + 3_600_000,
    });
    const hold = request(DORA, { type: 'placeHold', id: idOf('h', 1), matter: 'case 1', scope: { kind: 'story', id: 's' }, until: null });
    const opened = glass(idOf('a', 9), time.now() + 60_000);
    await accepted(engine.execute(proposal));
    await accepted(engine.execute(request(DORA, { type: 'withdraw', id: idOf('a', 1) })));
    await accepted(engine.execute(opened));
    await accepted(engine.execute(closed(idOf('a', 9))));
    await others(fix, WINDOW_SIZE);
    await cold.project();
    const end = await log.end(0);
    for (const [offset, again] of [
      [0, proposal],
      [2, opened],
    ] as const) {
      expect(await accepted(engine.execute(again))).toMatchObject({ duplicate: true, offset });
      expect(await failure(engine.execute({ ...again, digestInput: 'another' }))).toBe('COMMAND_REUSED');
    }
    expect(await log.end(0)).toBe(end);
    // What was not sent before is not kept from its effect.
    const { state, duplicate } = await accepted(engine.execute(hold));
    expect([duplicate, (state as ComplianceState).holds.map(({ id }) => id)]).toEqual([false, [idOf('h', 1)]]);
    expect(await accepted(engine.execute(hold))).toMatchObject({ duplicate: true, offset: end });
    await engine.stop();
  });

  it('is found in the window by a try that was decided in a batch with others', async () => {
    const fix = fixture();
    const { engine, cold, time } = fix;
    await engine.start();
    const first = glass(idOf('a', 9), time.now() + 60_000);
    await accepted(engine.execute(first));
    await accepted(engine.execute(closed(idOf('a', 9))));
    // The window holds it, as its oldest.
    await others(fix, WINDOW_SIZE - 2);
    await cold.project();
    const tries = await Promise.all([
      accepted(
        engine.execute(
          request(DORA, { type: 'placeHold', id: idOf('h', 1), matter: 'case 1', scope: { kind: 'story', id: 's' }, until: null }),
        ),
      ),
      accepted(
        engine.execute(
          request(DORA, { type: 'placeHold', id: idOf('h', 2), matter: 'case 2', scope: { kind: 'story', id: 's' }, until: null }),
        ),
      ),
      accepted(engine.execute(first)),
      accepted(engine.execute(first)),
    ]);
    expect(tries.map(({ duplicate }) => duplicate)).toEqual([false, false, true, true]);
    await engine.stop();
  });
});
