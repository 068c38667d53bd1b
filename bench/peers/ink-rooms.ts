import { Compiler, Story } from 'inkjs/full';
import { roomInk } from '../story/room-story.js';

/** What stands before the reader, as both engines must show it. */
export interface Shown {
  readonly text: string;
  readonly labels: readonly string[];
}

const compiled = new Compiler(roomInk).Compile().ToJson();

export function openInkStory(): Story {
  return new Story(compiled);
}

export function startInk(story: Story): Shown {
  return shown(story, story.ContinueMaximally());
}

/** A turn as a server must do it: the state comes as text and goes as text. */
export function inkTurn(story: Story, saved: string, label: string): { readonly saved: string; readonly shown: Shown } {
  story.state.LoadJson(saved);
  const choice = story.currentChoices.find(({ text }) => text === label);
  if (choice === undefined) throw new Error(`ink does not offer ${label}`);
  story.ChooseChoiceIndex(choice.index);
  const text = story.ContinueMaximally();
  return { shown: shown(story, text), saved: story.state.toJson() };
}

function shown(story: Story, text: string): Shown {
  return { text: text.trim(), labels: story.currentChoices.map((choice) => choice.text) };
}
