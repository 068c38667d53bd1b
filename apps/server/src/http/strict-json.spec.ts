import * as fc from 'fast-check';
import { MAX_JSON_DEPTH, NotStrictJson, parseStrictJson } from './strict-json.js';

describe('strict JSON', () => {
  it('reads every JSON text as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => {
        fc.pre(!text.includes('__proto__') && !text.includes('\\u0000') && JSON.parse(text) !== undefined && text.isWellFormed());
        let strict: unknown;
        try {
          strict = parseStrictJson(text);
        } catch (error) {
          // fast-check may make escaped lone surrogates; those are the only refusals allowed here.
          expect((error as Error).message).toContain('surrogate');
          return;
        }
        expect(JSON.stringify(strict)).toBe(JSON.stringify(JSON.parse(text)));
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['a repeated key', '{"a":{"turn":1,"turn":2}}', 'stands twice'],
    ['__proto__', '{"__proto__":{"admin":true}}', '__proto__'],
    ['an escaped __proto__', '{"\\u005f_proto__":1}', '__proto__'],
    ['U+0000', '{"a":"\\u0000"}', 'U+0000'],
    ['a lone surrogate', '{"a":"\\ud800"}', 'surrogate'],
    ['NaN', '{"a":NaN}', 'not JSON'],
    ['a raw control character', '{"a":"\u0001"}', 'control character'],
    ['a text that does not end', '{"a":"', 'does not end'],
    ['an empty body', '', 'not JSON'],
    ['trailing text', '{} {}', 'after the end'],
    ['a leading zero', '[01]', 'comma'],
    ['an unknown escape', '["\\x"]', 'escape'],
  ])('refuses %s', (_what, text, reason) => {
    expect(() => parseStrictJson(text)).toThrow(NotStrictJson);
    expect(() => parseStrictJson(text)).toThrow(reason);
  });

  it('bounds its depth', () => {
    expect(() => parseStrictJson('['.repeat(100_000))).toThrow('nested deeper');
    expect(parseStrictJson('['.repeat(MAX_JSON_DEPTH) + ']'.repeat(MAX_JSON_DEPTH))).toBeDefined();
  });

  it('throws nothing but its own error, whatever the text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseStrictJson(text);
        } catch (error) {
          expect(error).toBeInstanceOf(NotStrictJson);
        }
      }),
    );
  });
});
