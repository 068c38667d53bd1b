/**
 * Strongly connected components (Tarjan's algorithm, without recursion, linear). Returns the nodes that lie on a cycle, grouped;
 * nodes and groups in the order given.
 */
export function cyclesOf(nodes: Iterable<string>, next: (node: string) => readonly string[]): readonly (readonly string[])[] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const open = new Set<string>();
  const path: string[] = [];
  const cycles: string[][] = [];
  for (const root of nodes) {
    if (index.has(root)) continue;
    const calls: { node: string; edges: readonly string[]; i: number }[] = [];
    const begin = (node: string) => {
      index.set(node, index.size);
      low.set(node, index.get(node) ?? 0);
      path.push(node);
      open.add(node);
      calls.push({ node, edges: next(node), i: 0 });
    };
    begin(root);
    for (let call = calls.at(-1); call !== undefined; call = calls.at(-1)) {
      const { node } = call;
      const to = call.edges[call.i++];
      if (to === undefined) {
        calls.pop();
        const parent = calls.at(-1)?.node;
        if (parent !== undefined) low.set(parent, Math.min(low.get(parent) ?? 0, low.get(node) ?? 0));
        if (low.get(node) === index.get(node)) {
          const group = path.splice(path.lastIndexOf(node));
          for (const one of group) open.delete(one);
          if (group.length > 1 || next(node).includes(node)) cycles.push(group);
        }
      } else if (!index.has(to)) begin(to);
      else if (open.has(to)) low.set(node, Math.min(low.get(node) ?? 0, index.get(to) ?? 0));
    }
  }
  return cycles;
}
