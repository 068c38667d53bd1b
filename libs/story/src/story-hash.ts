import { canonicalJson, sha256Hex } from '#lib/canonical';
import type { Story } from './story.js';

/** The text under which a StoryVersion is stored and hashed. */
export const canonicalStory = (story: Story): string => canonicalJson(story);

/** Content hash of a StoryVersion: SHA-256 (64 hex characters) of its canonical JSON. */
export const storyHash = (story: Story): string => sha256Hex(canonicalStory(story));
