import * as fc from 'fast-check';
import { admit, EMPTY_HEAD, WINDOW_SIZE, type Envelope, type StreamHead } from '#lib/decision';

const hex = (n: number) => n.toString(16).padStart(64, '0');
const envelope = (changes: Partial<Envelope> = {}): Envelope => ({
  v: 1,
  stream: 'playthrough/p',
  expectedVersion: 0,
  previous: null,
  commandId: 'c:1',
  commandDigest: hex(1),
  eventCount: 1,
  ...changes,
});
const chain = (length: number): StreamHead => {
  let head = EMPTY_HEAD;
  for (let i = 0; i < length; i++) {
    head = admit(head, envelope({ expectedVersion: head.version, previous: head.previous, commandId: `c:${i}` }), hex(i + 1), i).head;
  }
  return head;
};

describe('admit', () => {
  it('accepts the first record of a stream and counts its events', () => {
    const { verdict, head } = admit(EMPTY_HEAD, envelope({ eventCount: 3 }), hex(9), 4);
    expect(verdict).toBe('accepted');
    expect(head).toEqual({ version: 3, previous: hex(9), window: [{ commandId: 'c:1', commandDigest: hex(1), version: 3, offset: 4 }] });
  });

  it('calls a record decided on another version a conflict', () => {
    expect(admit(chain(2), envelope({ expectedVersion: 1, previous: hex(2), commandId: 'c:new' }), hex(9), 2).verdict).toBe('conflict');
  });

  it('calls a record decided on another predecessor a conflict although the version matches', () => {
    expect(admit(chain(2), envelope({ expectedVersion: 2, previous: hex(77), commandId: 'c:new' }), hex(9), 2).verdict).toBe('conflict');
  });

  it('tells a resent command from a reused command id, and changes nothing for either', () => {
    const head = chain(2);
    const again = admit(head, envelope({ commandId: 'c:0' }), hex(9), 2);
    expect(again).toMatchObject({ verdict: 'duplicate', first: { version: 1, offset: 0 } });
    expect(again.head).toBe(head);
    expect(admit(head, envelope({ commandId: 'c:0', commandDigest: hex(5) }), hex(9), 2)).toMatchObject({ verdict: 'reused', head });
  });

  it('lets only accepted records into the window', () => {
    const head = chain(1);
    const refused = admit(head, envelope({ commandId: 'c:lost', expectedVersion: 7 }), hex(9), 1);
    expect(refused.head).toBe(head);
    expect(admit(refused.head, envelope({ commandId: 'c:lost', expectedVersion: 1, previous: hex(1) }), hex(8), 2).verdict).toBe(
      'accepted',
    );
  });

  it('remembers the last 64 accepted commands and no more', () => {
    const head = chain(WINDOW_SIZE + 10);
    expect(head.window).toHaveLength(WINDOW_SIZE);
    expect(head.window[0]?.commandId).toBe('c:10');
    expect(head.window.at(-1)?.commandId).toBe(`c:${WINDOW_SIZE + 9}`);
  });

  it('accepts, from any set of writers, one record per head at most and each command at most once', () => {
    const record = fc.record({ command: fc.integer({ min: 0, max: 5 }), behind: fc.integer({ min: 0, max: 2 }), fork: fc.boolean() });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 60 }), (records) => {
        let head = EMPTY_HEAD;
        const accepted = new Set<string>();
        records.forEach(({ command, behind, fork }, offset) => {
          const tried = envelope({
            commandId: `c:${command}`,
            expectedVersion: Math.max(0, head.version - behind),
            previous: fork ? hex(999) : head.previous,
          });
          const before = head;
          const { verdict, head: after } = admit(head, tried, hex(offset + 1), offset);
          if (verdict === 'accepted') {
            expect(accepted.has(tried.commandId)).toBe(false);
            expect(tried.previous).toBe(before.previous);
            expect(after.version).toBe(before.version + 1);
            accepted.add(tried.commandId);
          } else {
            expect(after).toBe(before);
          }
          head = after;
        });
      }),
    );
  });
});
