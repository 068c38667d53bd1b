/** What the records of a bundle hold that was sealed under a person's key, and what they tell of such keys' end. */
export interface SealedReport {
  /** Sealed fields in records that are shown. */
  readonly fields: number;
  /** Those of them whose key an erasure destroyed that is told of in the same bundle: nobody can read them any more. */
  readonly erased: number;
  /** Erasures that were carried out, as the shown records tell. */
  readonly erasures: number;
  /** False: more keys than are told apart; `erased` is then at least so many. */
  readonly complete: boolean;
}

/** So many keys are told apart; a few mebibytes. */
const MAX_KEYS = 20_000;
const SEALED = Buffer.from('"A256GCM"');
const ERASURE = Buffer.from('"keysDestroyed"');
const COMPLIANCE = 'compliance/main';

type Fields = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/** Counts over records that were found to be those of their leaves. */
export class SealedFields {
  private readonly byKey = new Map<string, number>();
  private readonly destroyed = new Set<string>();
  private fields = 0;
  private erasures = 0;
  private complete = true;

  /** A record's bytes; what is not JSON holds none. */
  record(bytes: Buffer): void {
    const erasing = bytes.includes(ERASURE);
    if (!erasing && !bytes.includes(SEALED)) return;
    let record: unknown;
    try {
      record = JSON.parse(bytes.toString('utf8'));
    } catch {
      // Whatever it is, its leaf names it by its digest.
      return;
    }
    this.count(record);
    if (erasing && isObject(record) && record['stream'] === COMPLIANCE) this.erasure(record['events']);
  }

  report(): SealedReport {
    let erased = 0;
    for (const [key, count] of this.byKey) if (this.destroyed.has(key)) erased += count;
    return { fields: this.fields, erased, erasures: this.erasures, complete: this.complete };
  }

  /** Without recursion: a hostile record may be as deep as it is long. */
  private count(record: unknown): void {
    const left = [record];
    while (left.length > 0) {
      const value = left.pop();
      if (!isObject(value)) continue;
      const { alg, kid, ct } = value;
      if (alg === 'A256GCM' && typeof kid === 'string' && typeof ct === 'string') {
        this.fields++;
        if (this.byKey.has(kid) || this.byKey.size < MAX_KEYS) this.byKey.set(kid, (this.byKey.get(kid) ?? 0) + 1);
        else this.complete = false;
      } else for (const one of Object.values(value)) left.push(one);
    }
  }

  private erasure(events: unknown): void {
    if (!Array.isArray(events)) return;
    for (const event of events as readonly unknown[]) {
      if (!isObject(event) || event['type'] !== 'ActionCarriedOut' || !isObject(event['result'])) continue;
      const keys = event['result']['keysDestroyed'];
      if (!Array.isArray(keys)) continue;
      this.erasures++;
      for (const key of keys as readonly unknown[]) {
        if (typeof key !== 'string') continue;
        if (this.destroyed.size < MAX_KEYS) this.destroyed.add(key);
        else this.complete = false;
      }
    }
  }
}
