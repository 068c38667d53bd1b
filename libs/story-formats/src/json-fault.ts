/**
 * Offset of the first character at which a text stops being JSON; the length if it only ends too early. JSON.parse says that a text is
 * broken, but in most of its messages not where. Call it for texts that JSON.parse refused, of bounded nesting.
 */
export function jsonFault(text: string): number {
  let at = text.startsWith('\uFEFF') ? 1 : 0;
  /** What each open bracket waits for. */
  const open: ('}' | ']')[] = [];
  const blank = (): void => {
    while (' \t\r\n'.includes(text.charAt(at)) && at < text.length) at++;
  };
  for (;;) {
    blank();
    // A value, or an empty map or list.
    const char = text.charAt(at);
    if (char === '{' || char === '[') {
      at++;
      open.push(char === '{' ? '}' : ']');
      blank();
      if (text.charAt(at) !== open[open.length - 1]) {
        if (char === '{' && !key()) return at;
        continue;
      }
    } else if (char === '"') {
      if (!string()) return at;
    } else {
      const word = /true|false|null|-?(?:0|[1-9]\d{0,400})(?:\.\d{1,400})?(?:[eE][+-]?\d{1,9})?/y;
      word.lastIndex = at;
      if (word.exec(text) === null) return at;
      at = word.lastIndex;
    }
    // What follows a value: ends of what is open, then a comma or the end of all.
    for (blank(); open.length > 0 && text.charAt(at) === open[open.length - 1]; blank()) {
      at++;
      open.pop();
    }
    if (open.length === 0 || text.charAt(at) !== ',') return at;
    at++;
    if (open[open.length - 1] === '}' && !key()) return at;
  }

  function key(): boolean {
    blank();
    if (text.charAt(at) !== '"' || !string()) return false;
    blank();
    if (text.charAt(at) !== ':') return false;
    at++;
    return true;
  }

  function string(): boolean {
    for (at++; at < text.length; at++) {
      const char = text.charAt(at);
      if (char === '"') {
        at++;
        return true;
      }
      if (char < ' ') return false;
      if (char !== '\\') continue;
      const next = text.charAt(at + 1);
      if (next === 'u' ? !/^[0-9A-Fa-f]{4}$/.test(text.slice(at + 2, at + 6)) : !'"\\/bfnrt'.includes(next) || next === '') return false;
      at++;
    }
    return false;
  }
}
