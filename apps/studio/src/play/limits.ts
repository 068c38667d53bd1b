/** Longest name of a checkpoint (schema.graphql). */
export const MAX_NAME_CHARACTERS = 200;
