import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AccessLog } from '../access/index.js';
import { audited, bundleOf, streamed, testSigner } from '../testing/audited.js';
import { pack, unpack, withLeaves } from '../testing/tampering.js';
import { csvCell } from './csv-view.js';
import { leafView } from './leaf-view.js';
import { ocsfLine } from './ocsf-view.js';
import { writeViews } from './write-views.js';

const vkey = testSigner.verifier.vkey;

describe('views of an export', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'fabula-views-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('hold a line per shown leaf, and come out the same however often they are derived', async () => {
    const history = audited(91);
    await history.round(12);
    const access = new AccessLog({ store: history.store, logId: history.logId, timers: { after: () => () => undefined } });
    await access.record({
      ...{ event: 'sensitive_read', at: 7, actor: 'a', roles: ['compliance'], action: 'GET /x', outcome: 'ok', correlationId: 'c' },
      target: { actor: '=HYPERLINK("http://evil")' },
    });
    await history.sign();
    const ranges = (['p0', 'p1', 'access', 'root'] as const).map((log) => ({ log, from: 0n }));
    const bundle = await bundleOf(history, { ranges });
    const [one, two] = [path.join(folder, '1'), path.join(folder, '2')];
    const { report, files } = await writeViews(streamed(bundle), one, { vkey });
    await writeViews(streamed(bundle, 77), two, { vkey });
    expect(files).toEqual(['access.csv', 'access.ocsf.ndjson', 'p0.csv', 'p0.ocsf.ndjson', 'p1.csv', 'p1.ocsf.ndjson']);
    for (const name of files) expect(await readFile(path.join(one, name))).toEqual(await readFile(path.join(two, name)));
    const [p0] = report.trees;
    const csv = (await readFile(path.join(one, 'p0.csv'), 'utf8')).split('\r\n');
    expect([csv[0]?.split(',').slice(0, 4), csv.length]).toEqual([['tree', 'index', 'time', 'outcome'], (p0?.shown as number) + 2]);
    const events = (await readFile(path.join(one, 'access.ocsf.ndjson'), 'utf8')).trim().split('\n');
    expect(JSON.parse(events[0] as string)).toMatchObject({
      ...{ class_uid: 6003, category_uid: 6, activity_id: 2, type_uid: 600302, time: 7, status_id: 1 },
      actor: { user: { uid: 'a', groups: [{ name: 'compliance' }] } },
      metadata: { version: '1.5.0', uid: 'access/0', correlation_uid: 'c' },
    });
    expect(await readFile(path.join(one, 'access.csv'), 'utf8')).toContain('"actor==HYPERLINK(""http://evil"")"');
  });

  it('are not written of an export that does not verify', async () => {
    const history = audited(92);
    await history.round(6);
    const files = withLeaves(await unpack(await history.bundle()), 'p0', (lines) => lines.with(2, '{'));
    const { report, files: written } = await writeViews(streamed(pack(files)), folder, { vkey });
    expect([report.ok, written, await readdir(folder)]).toEqual([false, [], []]);
  });

  it('let no cell be taken for a formula, and quote what needs it', () => {
    expect(['=1', '+1', '-1', '@a', '\ta', '\ra', 'a=1', '', '7'].map(csvCell)).toEqual([
      ...["'=1", "'+1", "'-1", "'@a", "'\ta", '"\'\ra"', 'a=1', '', '7'],
    ]);
    // Where decimals have a comma a semicolon begins the next cell, whatever is quoted; wide signs count as the narrow ones.
    expect(['storyId=x;=1+1', 'a; @b', 'a;b', '\uff1d1', '\n=1'].map(csvCell)).toEqual([
      ...["storyId=x;'=1+1", "a;' @b", 'a;b', "'\uff1d1", '"\'\n=1"'],
    ]);
    expect(['a,b', 'a"b', 'a\nb'].map(csvCell)).toEqual(['"a,b"', '"a""b"', '"a\nb"']);
  });

  it('of a refused record say so', () => {
    const leaf = { v: 1, index: '3', time: '9', verdict: 'invalid', reason: 'undecodable', offset: '4', record: 'ab' };
    const view = leafView('p0', Buffer.from(JSON.stringify(leaf)));
    expect(view).toMatchObject({ outcome: 'invalid undecodable', actor: '', action: '', offset: '4' });
    expect(JSON.parse(ocsfLine(view!))).toMatchObject({
      status_id: 2,
      status_detail: 'invalid undecodable',
      api: { operation: 'unknown' },
    });
  });
});
