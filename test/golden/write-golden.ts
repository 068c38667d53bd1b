import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { decodeRecord } from '#lib/decision';
import { compileStory } from '#lib/story';
import { Arena } from '../chaos/arena.js';
import { chaosStory } from '../chaos/chaos-story.js';
import { Crowd } from '../chaos/crowd.js';
import { settle } from '../chaos/derived-checks.js';
import { History } from '../chaos/history.js';
import { foldTruth } from '../chaos/log-truth.js';
import { buildPreviousRelease, type PreviousRelease } from '../support/previous-release.js';
import { shapes } from '../schemas/repository.js';
import { replay } from './replay.js';

const READERS = 6;
const TURNS = 90;
const LONGEST_STREAM = 40;
const PAYLOAD = '{ playthrough { id turn } }';
const HABITS = { choose: 60, doubled: 0, stale: 0, replay: 0, reuse: 0, rewind: 8, fork: 6, checkpoint: 12, look: 4 };

/**
 * Plays on a server of the last release and keeps of its log, byte for byte, the smallest streams that hold every event type and version
 * that it writes. Golden records are made once, when a release is made: never again for a release that has some.
 */
export async function writeGolden(folder: string, version: string): Promise<void> {
  const file = path.join(folder, `${version}.ndjson`);
  if (existsSync(file)) throw new Error(`the golden records of ${version} are there already, and they are never made again`);
  let previous: PreviousRelease | undefined;
  let arena: Arena | undefined;
  let crowd: Crowd | undefined;
  try {
    previous = await buildPreviousRelease();
    arena = await Arena.open({ servers: 1, partitions: 1, roots: [previous.root], emptyDatabase: true });
    const { urls, readers } = { urls: arena.urls(), readers: await arena.readers(READERS) };
    const story = { storyId: chaosStory.id, seed: 3, habits: HABITS, history: new History() };
    crowd = new Crowd({ urls: () => urls, readers, devices: READERS, ...story });
    await crowd.start();
    await crowd.turns(TURNS, 60_000);
    await crowd.stop();
    await endAndRetire(arena, readers);
    await settle(arena);
    const log = await arena.log.open();
    const stored = (await foldTruth(log).finally(() => log.close())).partitions.flat();
    const lines = chosen(stored.map(({ value }) => Buffer.from(value)));
    writeFileSync(file, Buffer.concat(lines.flatMap((line) => [line, Buffer.from('\n')])));
    writeFileSync(path.join(folder, `${version}.led.json`), `${JSON.stringify(replay(lines).led, null, 2)}\n`);
  } finally {
    await crowd?.abandon();
    await arena?.close();
    await previous?.remove();
  }
}

/** What a crowd hardly does: reach the story's end, let a time-out pass, take the version back. */
async function endAndRetire(arena: Arena, readers: readonly string[]): Promise<void> {
  const [url] = arena.urls() as [string];
  const ask = async (query: string): Promise<{ readonly id: string; readonly turn: number }> => {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { authorization: `Bearer ${readers[0]}`, 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    const { data, errors } = (await response.json()) as {
      data: Record<string, { playthrough: { id: string; turn: number } }>;
      errors?: unknown;
    };
    const [answer] = Object.values(data ?? {});
    if (answer === undefined) throw new Error(`refused: ${JSON.stringify(errors)}`);
    return answer.playthrough;
  };
  let commands = 0;
  const begin = async (choiceId: string): Promise<void> => {
    const id = (): string => `"00000000-0000-4000-8000-00000000000${++commands}"`;
    const begun = await ask(`mutation { startPlaythrough(input: { storyId: "chaos", commandId: ${id()} }) ${PAYLOAD} }`);
    await ask(
      `mutation { choose(input: { playthroughId: "${begun.id}", choiceId: "${choiceId}", turn: 0, commandId: ${id()} }) ${PAYLOAD} }`,
    );
  };
  await begin('leave');
  // Left alone there, the timed choice is taken.
  await begin('down');
  const author = await arena.api(['author']);
  const hash = compileStory(chaosStory).hash;
  const retired = await author.rest('POST', `/admin/stories/${chaosStory.id}/versions/${hash}/retire`);
  if (retired.status >= 300) throw new Error(`the version was not retired: ${retired.text}`);
}

/** Whole streams, in the order of the log: as few bytes as will hold every type and version. */
function chosen(records: readonly Buffer[]): readonly Buffer[] {
  const streams = new Map<string, { lines: Buffer[]; holds: Set<string>; bytes: number }>();
  const all = new Set<string>();
  const streamOf = records.map((bytes) => {
    const decoded = decodeRecord(bytes);
    if (decoded.kind !== 'record') throw new Error('a record cannot be decoded');
    const { stream, events } = decoded.record;
    const of = streams.get(stream) ?? { lines: [], holds: new Set<string>(), bytes: 0 };
    streams.set(stream, of);
    of.lines.push(bytes);
    of.bytes += bytes.length;
    for (const { type, v } of events) {
      of.holds.add(`${type}.v${v}`);
      all.add(`${type}.v${v}`);
    }
    return stream;
  });
  const kept = new Set<string>();
  const missing = new Set(all);
  for (const [type, { written }] of shapes) if (!all.has(`${type}.v${written}`)) throw new Error(`nobody caused a ${type}`);
  while (missing.size > 0) {
    const gain = ({ holds, bytes }: { holds: Set<string>; bytes: number }): number =>
      [...holds].filter((one) => missing.has(one)).length / bytes;
    const [best] = [...streams].filter(([, { lines }]) => lines.length <= LONGEST_STREAM).sort(([, a], [, b]) => gain(b) - gain(a));
    if (best === undefined || gain(best[1]) === 0) throw new Error(`no short stream holds ${[...missing].join(', ')}`);
    kept.add(best[0]);
    for (const one of best[1].holds) missing.delete(one);
  }
  // Duplicates and conflicts have no effect, and a golden log holds what was accepted.
  return records.filter((_, i) => kept.has(streamOf[i] as string));
}
