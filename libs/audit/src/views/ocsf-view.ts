import { canonicalJson } from '#lib/canonical';
import type { LeafView } from './leaf-view.js';

/** Open Cybersecurity Schema Framework, API Activity. `record_integrity` is not in it yet: the leaf's place stands in `unmapped`. */
export const OCSF_VERSION = '1.5.0';
const CATEGORY = 6;
const CLASS = 6003;
const ACTIVITIES = { GET: 2, HEAD: 2, POST: 1, PUT: 3, PATCH: 3, DELETE: 4 } as const;
const UPDATE = 3;
const OTHER = 99;
const SUCCEEDED = ['accepted', 'duplicate', 'ok'];

/** One event as a line of JSON. */
export function ocsfLine(view: LeafView): string {
  const { tree, index, time, outcome, actor, roles, action, target, correlationId, story, record } = view;
  const method = /^[A-Z]+(?= )/.exec(action)?.[0];
  const activity = tree === 'access' ? ((ACTIVITIES as Record<string, number>)[method ?? ''] ?? OTHER) : UPDATE;
  const event = {
    activity_id: activity,
    category_uid: CATEGORY,
    class_uid: CLASS,
    type_uid: CLASS * 100 + activity,
    time,
    severity_id: 1,
    status_id: SUCCEEDED.includes(outcome) ? 1 : 2,
    status_detail: outcome,
    actor: {
      user: { uid: actor === '' ? 'unknown' : actor, ...(roles === '' ? {} : { groups: roles.split(' ').map((name) => ({ name })) }) },
    },
    api: { operation: action === '' ? 'unknown' : action, service: { name: 'fabula' } },
    // Required by the class; Fabula records no addresses.
    src_endpoint: { name: 'not recorded' },
    ...(target === '' ? {} : { resources: [{ uid: target }] }),
    metadata: {
      version: OCSF_VERSION,
      product: { name: 'Fabula', vendor_name: 'Fabula' },
      log_name: tree,
      uid: `${tree}/${index}`,
      ...(correlationId === '' ? {} : { correlation_uid: correlationId }),
    },
    unmapped: { tree, index, ...(record === '' ? {} : { record_sha256: record }), ...(story === '' ? {} : { story }) },
  };
  return `${canonicalJson(event)}\n`;
}
