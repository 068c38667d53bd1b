import { canonicalJson } from '#lib/canonical';
import { evolveLog, logEvents, type LogEvent, type LogState } from '#lib/log';
import { StateDiffers, type StreamKind } from './stream-kind.js';

/** `log/<id>`: where a copied log came from. It leaves no rows but its own head and state. */
export const logKind: StreamKind<LogState> = {
  catalogue: logEvents,
  stateFromJson: (text) => JSON.parse(text) as LogState,
  fold(before, _record, recorded) {
    let after = before;
    for (const event of recorded as unknown as readonly LogEvent[]) {
      try {
        after = evolveLog(after, event);
      } catch (error) {
        throw new StateDiffers(error instanceof Error ? error.message : String(error));
      }
    }
    if (after === null) throw new StateDiffers('a record without events');
    return { after, json: canonicalJson(after), keep: () => undefined };
  },
};
