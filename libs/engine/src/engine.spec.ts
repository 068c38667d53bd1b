import { accepted, chooseRequest, fixture, rejected, startRequest } from './testing/fixture.js';

describe('Engine', () => {
  it('starts a playthrough and takes choices, each answered with its turn and the state after it', async () => {
    const { engine } = fixture();
    await engine.start();
    const start = startRequest();
    const begun = await accepted(engine.execute(start));
    expect(begun).toMatchObject({ duplicate: false, partition: 0, offset: 0, turn: 0, version: 1, state: { id: start.id, turn: 0 } });
    const walked = await accepted(engine.execute(chooseRequest(start.id, 0)));
    expect(walked).toMatchObject({ offset: 1, turn: 1, version: 2, state: { turn: 1, narrative: { variables: { steps: 1 } } } });
    const stale = await rejected(engine.execute(chooseRequest(start.id, 0)));
    expect(stale).toMatchObject({ code: 'TURN_STALE', state: { turn: 1 } });
    await engine.stop();
  });
});
