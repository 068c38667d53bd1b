import { violations } from './checks.js';
import { World } from './world.js';
it('first', async () => {
  const t0 = Date.now();
  const c0 = process.cpuUsage();
  const counts = new Map<string, number>();
  const from = Number(process.env['FROM'] ?? 1),
    n = Number(process.env['N'] ?? 100);
  let bad = 0;
  for (let seed = from; seed < from + n; seed++) {
    const world = new World(seed);
    let wrong: string[];
    try {
      await world.run();
      wrong = await violations(world);
    } catch (e) {
      wrong = [String(e instanceof Error ? e.stack : e)];
    }
    for (const [k, v] of world.history.counts) counts.set(k, (counts.get(k) ?? 0) + v);
    if (wrong.length) {
      console.log(seed, wrong.slice(0, 5));
      if (++bad > 4) break;
    }
  }
  console.log(Date.now() - t0, process.cpuUsage(c0).user / 1000, JSON.stringify(Object.fromEntries([...counts].sort()), null, 0));
}, 600000);
