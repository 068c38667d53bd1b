import type { Operation } from './graphql-client.js';
import type { BegunPlaythrough, Page, Playthrough, StorySummary, Turn } from './playthrough-types.js';

const story = 'story { id title author description language }';
const moment = `moment {
  passage { id title text tags } choices { id label enabled reason kind } deadline ending endingTitle variables { name label value }
}`;
const playthrough = `id status turn position forkedFrom { playthroughId turn } checkpoints { name turn } ${story} ${moment}`;
const payload = `{ duplicate playthrough { ${playthrough} } }`;

export interface Payload {
  readonly duplicate: boolean;
  readonly playthrough: Playthrough;
}

export const libraryPage: Operation<
  { readonly stories: Page<StorySummary>; readonly myPlaythroughs: Page<BegunPlaythrough> },
  { readonly after: string | null }
> = {
  document: `query Library($after: String) {
    stories(first: 50, after: $after) { edges { node { id title author description language } } pageInfo { hasNextPage endCursor } }
    myPlaythroughs(first: 12) {
      edges { node { id status turn forkedFrom { turn } story { id title } moment { endingTitle passage { title } } } }
      pageInfo { hasNextPage endCursor }
    }
  }`,
};

export const onePlaythrough: Operation<{ readonly playthrough: Playthrough | null }, { readonly id: string }> = {
  document: `query Playthrough($id: ID!) { playthrough(id: $id) { ${playthrough} } }`,
};

export const turnsOf: Operation<
  { readonly playthrough: { readonly history: Page<Turn> } | null },
  { readonly id: string; readonly after: string | null; readonly position: string }
> = {
  document: `query Turns($id: ID!, $after: String, $position: Position!) {
    playthrough(id: $id, minPosition: [$position]) {
      history(first: 30, after: $after) {
        edges { node { turn kind passageId choiceId label at changes { name from to } } } pageInfo { hasNextPage endCursor }
      }
    }
  }`,
};

export const startPlaythrough: Operation<
  { readonly startPlaythrough: Payload },
  { readonly input: { readonly storyId: string; readonly commandId: string } }
> = { document: `mutation Start($input: StartPlaythroughInput!) { startPlaythrough(input: $input) ${payload} }` };

export const choose: Operation<
  { readonly choose: Payload },
  { readonly input: { readonly playthroughId: string; readonly choiceId: string; readonly turn: number; readonly commandId: string } }
> = { document: `mutation Choose($input: ChooseInput!) { choose(input: $input) ${payload} }` };

export const rewind: Operation<
  { readonly rewind: Payload },
  { readonly input: { readonly playthroughId: string; readonly toTurn: number; readonly turn: number; readonly commandId: string } }
> = { document: `mutation Rewind($input: RewindInput!) { rewind(input: $input) ${payload} }` };

export const fork: Operation<
  { readonly fork: Payload },
  { readonly input: { readonly playthroughId: string; readonly atTurn: number; readonly commandId: string } }
> = { document: `mutation Fork($input: ForkInput!) { fork(input: $input) ${payload} }` };

export const setCheckpoint: Operation<
  { readonly setCheckpoint: Payload },
  { readonly input: { readonly playthroughId: string; readonly name: string; readonly turn: number; readonly commandId: string } }
> = { document: `mutation SetCheckpoint($input: SetCheckpointInput!) { setCheckpoint(input: $input) ${payload} }` };

export const playthroughChanged: Operation<{ readonly playthroughChanged: Playthrough }, { readonly id: string }> = {
  document: `subscription Changed($id: ID!) { playthroughChanged(id: $id) { ${playthrough} } }`,
};
