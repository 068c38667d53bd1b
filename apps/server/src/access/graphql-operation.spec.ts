import { parse } from 'graphql';
import type { AccessTrail } from './access-trail.js';
import { describeOperation } from './graphql-operation.js';

function told(document: string, variables: Readonly<Record<string, unknown>> = {}): AccessTrail {
  const trail: AccessTrail = {};
  describeOperation(trail, parse(document), variables);
  return trail;
}

describe('what the access log is told of a GraphQL document', () => {
  it('names each thing that is asked for under an alias, and none in place of another', () => {
    const { action, target, stream } = told(
      '{ a: playthrough(id: "p-1") { id } b: playthrough(id: "p-2") { id } playthrough(id: "p-3") { id } }',
    );
    expect([action, stream]).toEqual(['query playthrough', 'playthrough/p-1']);
    expect(target).toEqual({ 'playthrough as a.id': 'p-1', 'playthrough as b.id': 'p-2', 'playthrough.id': 'p-3' });
  });

  it('names what a variable stands for by default, and what was sent in its place', () => {
    const document = 'query q($id: ID! = "p-1", $other: ID = "s-1") { playthrough(id: $id) { id } story(id: $other) { id } }';
    expect(told(document)).toMatchObject({ target: { 'playthrough.id': 'p-1', 'story.id': 's-1' }, stream: 'playthrough/p-1' });
    expect(told(document, { id: 'p-2', other: null }).target).toEqual({ 'playthrough.id': 'p-2' });
  });

  it('names what two operations of one document ask for in the same place', () => {
    const { target } = told('query q { playthrough(id: "p-1") { id } } query r { playthrough(id: "p-2") { id } }');
    expect(target).toEqual({ 'playthrough.id': 'p-1', 'playthrough.id (2)': 'p-2' });
  });
});
