import { accepted, chooseRequest, failure, fixture, rejected, request, startRequest, type Fixture } from './testing/fixture.js';
import { EngineFailure } from './engine-failure.js';

/** Six turns, of which records and turns before turn 4 were pruned; then the process was started again. */
async function pruned(): Promise<Fixture & { readonly id: string; readonly sent: ReturnType<typeof chooseRequest>[] }> {
  const fix = fixture();
  const before = fix.another();
  await before.start();
  const start = startRequest();
  const sent = [start, ...Array.from({ length: 6 }, (_, turn) => chooseRequest(start.id, turn))];
  for (const one of sent) await accepted(before.execute(one));
  await before.stop();
  await fix.cold.project();
  fix.cold.prune(start.stream, 4);
  await fix.log.forget(0, 6);
  await fix.engine.start();
  return { ...fix, id: start.id, sent };
}

describe('An engine on a log whose first records were pruned', () => {
  it('begins at the read models and goes on playing', async () => {
    const { engine, id } = await pruned();
    expect(await accepted(engine.execute(chooseRequest(id, 6)))).toMatchObject({ turn: 7, offset: 7, duplicate: false });
    await engine.stop();
  });

  it('counts no command twice, and tells of repeated ones what is still known', async () => {
    const { engine, sent, log } = await pruned();
    // Its record is there; its turn is kept; neither.
    expect(await accepted(engine.execute(sent[6] as (typeof sent)[0]))).toMatchObject({ duplicate: true, turn: 6, offset: 6 });
    expect(await accepted(engine.execute(sent[5] as (typeof sent)[0]))).toMatchObject({ duplicate: true, turn: 5, offset: 5 });
    expect(await failure(engine.execute(sent[2] as (typeof sent)[0]))).toBe('RECORDS_PRUNED');
    expect(await failure(engine.execute({ ...(sent[2] as (typeof sent)[0]), digestInput: { other: true } }))).toBe('COMMAND_REUSED');
    expect(await log.end(0)).toBe(7);
    await engine.stop();
  });

  it('goes back to turns that are kept, and says where they begin of those that are not', async () => {
    const { engine, id } = await pruned();
    const early = engine.execute(request(id, { type: 'rewind', toTurn: 2, turn: 6 }));
    await expect(early).rejects.toMatchObject({ code: 'RECORDS_PRUNED', details: { from: '4' } } satisfies Partial<EngineFailure>);
    const fork = startRequest();
    const what = engine.execute(request(fork.id, { type: 'fork', from: id, atTurn: 3 }, { commandId: fork.commandId }));
    await expect(what).rejects.toMatchObject({ code: 'RECORDS_PRUNED' });
    expect(await rejected(engine.execute(request(id, { type: 'rewind', toTurn: 9, turn: 6 })))).toMatchObject({ code: 'BAD_INPUT' });
    const nowhere = request(startRequest().id, { type: 'fork', from: 'nobody', atTurn: 3 });
    expect(await failure(engine.execute(nowhere))).toBe('rejected PLAYTHROUGH_NOT_FOUND');
    expect(await accepted(engine.execute(request(id, { type: 'rewind', toTurn: 4, turn: 6 })))).toMatchObject({ turn: 7 });
    await engine.stop();
  });
});
