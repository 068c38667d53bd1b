import { MalformedKey, parseCosignerKey, parseVerifierKey, type NoteVerifier } from '../tlog/index.js';

/*
 * C2SP tlog-policy: which logs, which witnesses, and how many of them a checkpoint note needs.
 *   log <vkey> [<url>]
 *   witness <name> <vkey> [<url>]
 *   group <name> all|any|<k> <name>…
 *   quorum <name>|none
 * Names stand in the file only. A line names only what stands above it, and each name is a member of one group at most.
 */

export const MAX_POLICY_BYTES = 256 * 1024;
const MAX_OF_EACH = 100;

export class MalformedPolicy extends Error {
  override readonly name = 'MalformedPolicy';
}

export interface PolicyLog {
  readonly verifier: NoteVerifier;
  readonly url: string | undefined;
}
export interface PolicyWitness {
  /** In this policy. */
  readonly name: string;
  readonly verifier: NoteVerifier;
  /** Submission prefix. */
  readonly url: string | undefined;
}
interface Group {
  readonly name: string;
  readonly needed: number;
  readonly members: readonly string[];
}

export interface Policy {
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  readonly groups: readonly Group[];
  /** A witness, a group, or `none`. */
  readonly quorum: string;
}

export const NO_QUORUM = 'none';

/** @throws MalformedPolicy naming the line */
export function parsePolicy(text: string): Policy {
  if (Buffer.byteLength(text) > MAX_POLICY_BYTES) throw new MalformedPolicy(`a policy has at most ${MAX_POLICY_BYTES} bytes`);
  const reader = new PolicyReader();
  text.split('\n').forEach((line, at) => reader.line(line, at + 1));
  return reader.policy();
}

class PolicyReader {
  private readonly logs: PolicyLog[] = [];
  private readonly witnesses: PolicyWitness[] = [];
  private readonly groups: Group[] = [];
  private readonly keys = new Set<string>();
  private readonly names = new Set<string>([NO_QUORUM]);
  private readonly members = new Set<string>();
  private quorum: string | undefined;
  private at = 0;

  line(line: string, at: number): void {
    this.at = at;
    // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
    if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(line)) throw this.wrong('has a control character; lines end in a newline alone');
    const items = line.split(/[ \t]+/).filter((item) => item !== '');
    const [word, ...rest] = items;
    if (word === undefined || word.startsWith('#')) return;
    switch (word) {
      case 'log':
        return this.log(rest);
      case 'witness':
        return this.witness(rest);
      case 'group':
        return this.group(rest);
      case 'quorum':
        return this.setQuorum(rest);
      default:
        throw this.wrong(`begins with ${JSON.stringify(word.slice(0, 40))}; it may be log, witness, group or quorum`);
    }
  }

  policy(): Policy {
    const { logs, witnesses, groups, quorum } = this;
    if (quorum === undefined) throw new MalformedPolicy('the policy has no quorum line; `quorum none` asks for no witness');
    return { logs, witnesses, groups, quorum };
  }

  private log([vkey, url, ...rest]: readonly string[]): void {
    if (vkey === undefined || rest.length > 0) throw this.wrong('is not `log <vkey> [<url>]`');
    this.bounded(this.logs);
    const verifier = this.key(() => parseVerifierKey(vkey));
    this.logs.push({ verifier, url: this.url(url) });
  }

  private witness([name, vkey, url, ...rest]: readonly string[]): void {
    if (name === undefined || vkey === undefined || rest.length > 0) throw this.wrong('is not `witness <name> <vkey> [<url>]`');
    this.bounded(this.witnesses);
    const verifier = this.key(() => parseCosignerKey(vkey));
    this.define(name);
    this.witnesses.push({ name, verifier, url: this.url(url) });
  }

  private group([name, count, ...members]: readonly string[]): void {
    if (name === undefined || count === undefined || members.length === 0) throw this.wrong('is not `group <name> all|any|<k> <name>…`');
    this.bounded(this.groups);
    for (const member of members) {
      if (member === NO_QUORUM) throw this.wrong('`none` is no member of a group');
      if (!this.names.has(member)) throw this.wrong(`names ${JSON.stringify(member)}, which no line above it defines`);
      if (this.members.has(member)) throw this.wrong(`names ${JSON.stringify(member)}, which is a member already`);
      this.members.add(member);
    }
    const needed = count === 'all' ? members.length : count === 'any' ? 1 : /^[1-9][0-9]{0,3}$/.test(count) ? Number(count) : 0;
    if (needed < 1 || needed > members.length) throw this.wrong(`asks for ${count} of ${members.length} members`);
    this.define(name);
    this.groups.push({ name, needed, members });
  }

  private setQuorum([name, ...rest]: readonly string[]): void {
    if (name === undefined || rest.length > 0) throw this.wrong('is not `quorum <name>`');
    if (this.quorum !== undefined) throw this.wrong('is a second quorum line');
    if (!this.names.has(name)) throw this.wrong(`names ${JSON.stringify(name)}, which no line above it defines`);
    this.quorum = name;
  }

  private define(name: string): void {
    if (this.names.has(name)) throw this.wrong(`defines ${JSON.stringify(name)} again`);
    this.names.add(name);
  }

  /** One key under two names would count twice. */
  private key(read: () => NoteVerifier): NoteVerifier {
    let verifier: NoteVerifier;
    try {
      verifier = read();
    } catch (error) {
      if (!(error instanceof MalformedKey)) throw error;
      throw this.wrong(`has a key that cannot be used: ${error.message}`);
    }
    // Behind type byte and name: the same 32 bytes are the same key.
    const raw = Buffer.from(verifier.vkey.slice(verifier.vkey.lastIndexOf('+', verifier.name.length + 9) + 1), 'base64')
      .subarray(1)
      .toString('hex');
    if (this.keys.has(raw)) throw this.wrong('has a key that stands in another line');
    this.keys.add(raw);
    return verifier;
  }

  private url(text: string | undefined): string | undefined {
    if (text === undefined) return undefined;
    if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw this.wrong('has a URL that is not http or https');
    return text.replace(/\/+$/, '');
  }
  private bounded(list: readonly unknown[]): void {
    if (list.length >= MAX_OF_EACH) throw this.wrong(`is one too many: at most ${MAX_OF_EACH} of each`);
  }
  private wrong(what: string): MalformedPolicy {
    return new MalformedPolicy(`line ${this.at} ${what}`);
  }
}

/** Whether a checkpoint note with these witnesses' cosignatures has its quorum. */
export function quorumReached(policy: Policy, cosigned: ReadonlySet<string>): boolean {
  if (policy.quorum === NO_QUORUM) return true;
  const witnessed = new Set(policy.witnesses.filter(({ name }) => cosigned.has(name)).map(({ name }) => name));
  // Groups name only what stands above them.
  for (const { name, needed, members } of policy.groups)
    if (members.filter((member) => witnessed.has(member)).length >= needed) witnessed.add(name);
  return witnessed.has(policy.quorum);
}

/** The inverse of `parsePolicy`, without comments. */
export function formatPolicy({ logs, witnesses, groups, quorum }: Policy): string {
  const url = (text: string | undefined): string => (text === undefined ? '' : ` ${text}`);
  return [
    ...logs.map((log) => `log ${log.verifier.vkey}${url(log.url)}\n`),
    ...witnesses.map((witness) => `witness ${witness.name} ${witness.verifier.vkey}${url(witness.url)}\n`),
    ...groups.map(({ name, needed, members }) => `group ${name} ${needed} ${members.join(' ')}\n`),
    `quorum ${quorum}\n`,
  ].join('');
}
