export * from './story-stream.js';
export {
  applyRecordedStory,
  authoringEvents,
  BrokenStoryFold,
  storyAuthoring,
  storyStateFromJson,
  storyStateHash,
  storyStateToJson,
} from './story-authoring.js';
export { authoringShapes } from './story-shapes.js';
