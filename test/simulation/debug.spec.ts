import { decodeRecord } from '#lib/decision';
import { violations } from './checks.js';
import { World } from './world.js';
it('debug', async () => {
  const world = new World(Number(process.env['SEED']));
  let wrong: string[];
  try {
    await world.run();
    wrong = await violations(world);
  } catch (e) {
    wrong = [String(e)];
  }
  const out: string[] = [...wrong];
  const grep = process.env['GREP'] ?? '';
  for (let p = 0; p < world.partitions; p++)
    for await (const { records } of world.log.read(p, 0, { upTo: await world.log.end(p) }))
      for (const r of records) {
        const d = decodeRecord(r.value);
        if (d.kind !== 'record') continue;
        const line = `p${p} ${r.offset} t=${r.time - 1_700_000_000_000} ${d.record.stream.slice(12, 20)} v${d.record.expectedVersion} prev=${d.record.previous?.slice(0, 6)} ${d.record.commandId.slice(0, 12)} dig=${d.digest.slice(0, 6)} ${d.record.events.map((e) => e.type + ':' + String(e['turn'])).join()}`;
        if (line.includes(grep)) out.push(line);
      }
  for (const t of world.history.tries) {
    const line = `${t.request.commandId.slice(0, 12)} ${t.request.stream.slice(12, 20)} ${JSON.stringify(t.request.command).slice(0, 80)} ${t.saw} ${t.saw === 'outcome' ? JSON.stringify({ ...t.outcome, state: undefined }) : t.saw === 'failure' ? t.code : ''}`;
    if (line.includes(grep)) out.push(line);
  }
  console.log(out.join('\n'));
});
