import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { Option, type Command } from 'commander';
import { importStory, type StoryFormat } from '#lib/story-formats';
import type { Story } from '#lib/story';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';

export interface FormatOption {
  readonly format?: StoryFormat;
}
export const FORMATS: readonly StoryFormat[] = ['json', 'yaml', 'twee'];
const BY_EXTENSION: Readonly<Record<string, StoryFormat>> = {
  '.json': 'json',
  '.yaml': 'yaml',
  '.yml': 'yaml',
  '.twee': 'twee',
  '.tw': 'twee',
};
/** The reader of stories refuses more by itself; this keeps a wrong file from being read whole. */
const MAX_FILE_BYTES = 32 * 1024 * 1024;

export const formatOption = (command: Command): Command =>
  command.addOption(new Option('--format <format>', 'how the file is written (default: by its ending)').choices(FORMATS));

export interface StorySource {
  readonly file: string;
  readonly format: StoryFormat;
  readonly source: string;
}

/** @throws CliFailure with 2 */
export async function readSource(file: string, { format }: FormatOption): Promise<StorySource> {
  const known = format ?? BY_EXTENSION[path.extname(file).toLowerCase()];
  if (known === undefined) throw wrongUsage(`How is ${file} written? Give --format ${FORMATS.join('|')}.`);
  try {
    const { size } = await stat(file);
    if (size > MAX_FILE_BYTES) throw wrongUsage(`${file} has ${size} bytes; at most ${MAX_FILE_BYTES} are read.`);
    return { file, format: known, source: await readFile(file, 'utf8') };
  } catch (error) {
    if (error instanceof CliFailure) throw error;
    throw wrongUsage(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * A story to work with, whatever lint says of it.
 * @throws CliFailure when nothing can be read from the source
 */
export function storyOf(source: StorySource): { readonly story: Story; readonly hash: string } {
  const { story, hash, problems } = importStory(source.format, source.source);
  if (story !== undefined && hash !== undefined) return { story, hash };
  throw new CliFailure(
    `No story can be read from ${source.file}.`,
    EXIT.problems,
    problems.slice(0, 5).map(({ line, column, code, message }) => `${line ?? '?'}:${column ?? '?'}  ${code}  ${message}`),
  );
}
