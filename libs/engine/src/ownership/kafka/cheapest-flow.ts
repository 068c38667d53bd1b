/** Costs must make no circle cheaper than nothing; capacities are whole. */
interface Edge {
  readonly to: number;
  readonly cost: number;
  left: number;
  /** The same edge the other way, for taking flow back. */
  readonly back: number;
}

/**
 * The largest flow of least cost through a small network, by cheapest augmenting paths (Ford and Fulkerson; Bellman and Ford, with a
 * queue). Exact, and the same for the same edges in the same order.
 */
export class CheapestFlow {
  private readonly edges: Edge[] = [];
  private readonly from: number[][] = [];

  node(): number {
    return this.from.push([]) - 1;
  }

  /** @returns a number to ask `through` with */
  edge(from: number, to: number, capacity: number, cost: number): number {
    const id = this.edges.length;
    this.edges.push({ to, cost, left: capacity, back: id + 1 }, { to: from, cost: -cost, left: 0, back: id });
    this.from[from]?.push(id);
    this.from[to]?.push(id + 1);
    return id;
  }

  /** What flows through an edge, after `run`. */
  through(edge: number): number {
    return this.edges[edge + 1]?.left ?? 0;
  }

  run(source: number, sink: number): void {
    for (let path = this.cheapestPath(source, sink); path !== undefined; path = this.cheapestPath(source, sink)) {
      const most = Math.min(...path.map((edge) => edge.left));
      for (const edge of path) {
        edge.left -= most;
        (this.edges[edge.back] as Edge).left += most;
      }
    }
  }

  private cheapestPath(source: number, sink: number): Edge[] | undefined {
    const cost = this.from.map(() => Infinity);
    const by: (Edge | undefined)[] = this.from.map(() => undefined);
    const waiting = new Set([source]);
    cost[source] = 0;
    for (const node of waiting) {
      // A set hands out in order of insertion, also what is put in again while it is walked.
      waiting.delete(node);
      for (const id of this.from[node] ?? []) {
        const edge = this.edges[id] as Edge;
        const over = (cost[node] as number) + edge.cost;
        if (edge.left === 0 || over >= (cost[edge.to] as number)) continue;
        cost[edge.to] = over;
        by[edge.to] = edge;
        waiting.add(edge.to);
      }
    }
    const path: Edge[] = [];
    for (let node = sink; node !== source;) {
      const edge = by[node];
      if (edge === undefined) return undefined;
      path.push(edge);
      node = (this.edges[edge.back] as Edge).to;
    }
    return path;
  }
}
