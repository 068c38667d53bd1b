import { graphOf, normaliseStory, toDot, toMermaid } from './index.js';

const { story } = normaliseStory({
  id: 'g',
  title: 'G',
  start: 'hall "big"',
  variables: { brave: { type: 'bool' } },
  endings: { out: { title: 'Out' } },
  passages: {
    'hall "big"': {
      storylets: { tag: 'rumour' },
      choices: [
        { id: 'go', label: 'Go "on"', target: { end: 'out' }, visibleWhen: 'brave' },
        { id: 'fall', label: 'Fall', target: 'nowhere' },
      ],
    },
    s: { tags: ['rumour'], offerWhen: 'brave', choices: [{ id: 'b', label: 'Back', target: 'return' }] },
    grave: { ending: 'out' },
  },
});
if (story === undefined) throw new Error('the story of this test is broken');
const graph = graphOf(story);

describe('the graph of a story', () => {
  it('holds passages, tags and endings, choices with their guards, and marks missing targets', () => {
    expect(graph.nodes.map((node) => `${node.kind} ${node.id}`)).toEqual([
      'passage grave',
      'passage hall "big"',
      'storylet s',
      'tag tag/rumour',
      'tag return/',
      'ending ending/out',
    ]);
    expect(graph.edges).toEqual([
      { from: 'grave', to: 'ending/out', kind: 'ending', label: '' },
      { from: 'hall "big"', to: 'ending/out', kind: 'ending', choice: 'go', label: 'Go "on"', guard: 'brave' },
      { from: 'hall "big"', to: 'nowhere', kind: 'choice', choice: 'fall', label: 'Fall', missing: true },
      { from: 'hall "big"', to: 'tag/rumour', kind: 'offer', label: '' },
      { from: 's', to: 'return/', kind: 'return', choice: 'b', label: 'Back' },
      { from: 'tag/rumour', to: 's', kind: 'offer', label: 's', guard: 'brave' },
    ]);
  });

  it('is written as Graphviz and Mermaid text that quotes every label', () => {
    expect(toDot(graph)).toContain('"hall \\"big\\"" -> "ending/out" [label="Go \\"on\\"", style=solid];');
    const mermaid = toMermaid(graph);
    expect(mermaid).toContain('n1["hall #34;big#34;"]');
    expect(mermaid).toContain('-->|"Go #34;on#34;"|');
    expect(mermaid.split('\n')[0]).toBe('flowchart TD');
  });
});
