/** The `[[…]]` family that all Twine story formats share; what it means is theirs, where it leads is not. */
export interface TweeLink {
  readonly label: string;
  readonly target: string;
  /** `[[…][$x to 1]]`: code that runs when the link is taken. */
  readonly setter?: string;
}

/** Reads the inside of `[[…]]`: `label->target`, `target<-label`, `label|target` or just `target`, each with an optional `][setter`. */
export function parseLink(inside: string): TweeLink {
  const cut = inside.indexOf('][');
  const link = cut === -1 ? inside : inside.slice(0, cut);
  const setter = cut === -1 ? undefined : inside.slice(cut + 2);
  const [label, target] = sides(link);
  return { label: label.trim(), target: target.trim(), ...(setter !== undefined && { setter }) };
}

/** As in Twine: the last `->`, else the first `<-`, else the last `|` splits. */
function sides(link: string): readonly [label: string, target: string] {
  const right = link.lastIndexOf('->');
  if (right !== -1) return [link.slice(0, right), link.slice(right + 2)];
  const left = link.indexOf('<-');
  if (left !== -1) return [link.slice(left + 2), link.slice(0, left)];
  const bar = link.lastIndexOf('|');
  if (bar !== -1) return [link.slice(0, bar), link.slice(bar + 1)];
  return [link, link];
}

/**
 * End of the link that opens at `from` (behind its closing brackets), or -1. A link stands on one line; a setter may end in a bracket of its own.
 * The finders move forward only.
 */
export function linkEnd(text: string, from: number, findClose: (at: number) => number, findNewline: (at: number) => number): number {
  let close = findClose(from + 2);
  const newline = findNewline(from);
  if (close === -1 || (newline !== -1 && newline < close)) return -1;
  if (text.slice(from, close).includes('][')) while (text[close + 2] === ']') close++;
  return close + 2;
}

/** Ids for the choices of one passage: the author's, or else the label's words; equal labels are told apart by their targets. */
export function choiceIds(
  choices: readonly { readonly id?: string; readonly label: string; readonly target: string }[],
): readonly string[] {
  const taken = new Set(choices.flatMap((choice) => choice.id ?? []));
  const slugs = choices.map((choice) => slug(choice.label) || slug(choice.target) || 'choice');
  const labelled = new Map<string, number>();
  choices.forEach((choice, i) => {
    if (choice.id === undefined) labelled.set(slugs[i] as string, (labelled.get(slugs[i] as string) ?? 0) + 1);
  });
  const next = new Map<string, number>();
  return choices.map((choice, i) => {
    if (choice.id !== undefined) return choice.id;
    const own = slugs[i] as string;
    const target = slug(choice.target);
    const base = (labelled.get(own) ?? 0) > 1 && target !== '' && target !== own ? `${own}-${target}`.slice(0, 70) : own;
    let id = base;
    let n = next.get(base) ?? 2;
    while (taken.has(id)) id = `${base}-${n++}`;
    next.set(base, n);
    taken.add(id);
    return id;
  });
}

/** Lower-case ASCII words joined by `-`, at most 48 characters; '' if the text has none. */
export const slug = (text: string): string =>
  text
    .slice(0, 400)
    .replace(/\{\{[^}]*\}\}/g, '')
    .normalize('NFKD')
    .replace(/[\u0300-\u036f'’]/g, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 48)
    .replace(/-+$/, '');
