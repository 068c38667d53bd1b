import { byCodeUnits } from './names.js';
import { printExpression } from './print-expression.js';
import { choiceGuard, storyletsByTag } from './reach-analysis.js';
import type { Story } from './story.js';

export interface GraphNode {
  readonly id: string;
  readonly title: string;
  /** tag: stands for the storylets of a tag, between the hubs that ask for it and the passages that carry it. */
  readonly kind: 'passage' | 'storylet' | 'tag' | 'ending';
  readonly start: boolean;
  readonly tags: readonly string[];
}
export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  /** choice: of the author; offer: from a hub to its tag, and from a tag to its storylets; return: from a storylet back to where it was offered; ending: to an ending. */
  readonly kind: 'choice' | 'offer' | 'return' | 'ending';
  /** Choice id, for choices. */
  readonly choice?: string;
  readonly label: string;
  readonly guard?: string;
  /** The target is no passage of this story. */
  readonly missing?: true;
}
export interface StoryGraph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

/** Node id of an ending; passage ids have no slash. */
export const endingNode = (id: string): string => `ending/${id}`;
/** Node id of a storylet tag. */
export const tagNode = (tag: string): string => `tag/${tag}`;
/** Node id that `return` choices lead to: the hub of the moment, whichever it was. */
export const RETURN_NODE = 'return/';

/** The story as nodes and edges, in a fixed order. Tags and `return` are nodes of their own, so that the graph stays linear in the story. */
export function graphOf(story: Story): StoryGraph {
  const nodes: GraphNode[] = [];
  const edges: GraphEdge[] = [];
  for (const id of Object.keys(story.passages).sort()) {
    const passage = story.passages[id];
    if (passage === undefined) continue;
    const kind = passage.offerWhen === undefined ? 'passage' : 'storylet';
    nodes.push({ id, title: passage.title, kind, start: id === story.start, tags: passage.tags });
    for (const choice of passage.choices) {
      const guard = choiceGuard(choice);
      const common = {
        from: id,
        choice: choice.id,
        label: choice.label,
        ...(guard === undefined ? {} : { guard: printExpression(guard) }),
      };
      if ('end' in choice.target) edges.push({ ...common, to: endingNode(choice.target.end), kind: 'ending' });
      else if ('return' in choice.target) edges.push({ ...common, to: RETURN_NODE, kind: 'return' });
      else {
        const missing = !Object.hasOwn(story.passages, choice.target.passage);
        edges.push({ ...common, to: choice.target.passage, kind: 'choice', ...(missing ? { missing } : {}) });
      }
    }
    if (passage.storylets !== undefined) edges.push({ from: id, to: tagNode(passage.storylets.tag), kind: 'offer', label: '' });
    if (passage.ending !== undefined) edges.push({ from: id, to: endingNode(passage.ending), kind: 'ending', label: '' });
  }
  for (const [tag, offered] of [...storyletsByTag(story)].sort(([a], [b]) => byCodeUnits(a, b))) {
    nodes.push({ id: tagNode(tag), title: tag, kind: 'tag', start: false, tags: [] });
    for (const to of offered.toSorted()) {
      const { title = to, offerWhen } = story.passages[to] ?? {};
      edges.push({
        from: tagNode(tag),
        to,
        kind: 'offer',
        label: title,
        ...(offerWhen === undefined ? {} : { guard: printExpression(offerWhen) }),
      });
    }
  }
  if (edges.some((edge) => edge.kind === 'return')) nodes.push({ id: RETURN_NODE, title: 'return', kind: 'tag', start: false, tags: [] });
  for (const id of Object.keys(story.endings).sort())
    nodes.push({ id: endingNode(id), title: story.endings[id]?.title ?? id, kind: 'ending', start: false, tags: [] });
  return { nodes, edges };
}

const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', ' ')}"`;

/** Graphviz text. */
export function toDot(graph: StoryGraph): string {
  const shape = { passage: 'box', storylet: 'component', tag: 'folder', ending: 'doublecircle' } as const;
  const style = { choice: 'solid', offer: 'dashed', return: 'dotted', ending: 'solid' } as const;
  const nodes = graph.nodes.map(
    (node) => `  ${quoted(node.id)} [label=${quoted(node.title)}, shape=${shape[node.kind]}${node.start ? ', penwidth=3' : ''}];`,
  );
  const edges = graph.edges.map(
    (edge) => `  ${quoted(edge.from)} -> ${quoted(edge.to)} [label=${quoted(edge.label)}, style=${style[edge.kind]}];`,
  );
  return ['digraph story {', ...nodes, ...edges, '}', ''].join('\n');
}

/** Mermaid text. Nodes are numbered, because Mermaid's ids allow few characters; labels are escaped as its entities. */
export function toMermaid(graph: StoryGraph): string {
  const numbers = new Map<string, string>();
  const nodeOf = (id: string): string => {
    const known = numbers.get(id);
    if (known !== undefined) return known;
    const fresh = `n${numbers.size}`;
    numbers.set(id, fresh);
    return fresh;
  };
  const escaped = (text: string): string => text.replace(/[^\p{L}\p{N} .,!?'()-]/gu, (char) => `#${char.codePointAt(0) ?? 32};`) || ' ';
  const nodes = graph.nodes.map((node) => {
    const [open, close] =
      node.kind === 'ending' ? ['((', '))'] : node.kind === 'storylet' ? ['[[', ']]'] : node.kind === 'tag' ? ['([', '])'] : ['[', ']'];
    return `  ${nodeOf(node.id)}${open}"${escaped(node.title)}"${close}`;
  });
  const edges = graph.edges.map((edge) => {
    const arrow = edge.kind === 'choice' || edge.kind === 'ending' ? '-->' : '-.->';
    return `  ${nodeOf(edge.from)} ${arrow}|"${escaped(edge.label)}"| ${nodeOf(edge.to)}`;
  });
  return ['flowchart TD', ...nodes, ...edges, ''].join('\n');
}
