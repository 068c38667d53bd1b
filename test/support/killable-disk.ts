import { AsyncLocalStorage } from 'node:async_hooks';
import fs from 'node:fs/promises';
import path from 'node:path';
import { everyAwait, type Process, type Scenario } from './every-await.js';

/** What is lost besides the process: nothing; all names, or all but the newest, that no folder was flushed with; or what no file was flushed with. */
export const CUTS = ['the process alone', 'names', 'all names but the newest', 'contents'] as const;
export type Cut = (typeof CUTS)[number];

interface FileNode {
  readonly kind: 'file';
  content: Buffer;
  flushed: Buffer | undefined;
  readonly mode: number;
}
interface Folder {
  readonly kind: 'folder';
  names: Map<string, Node>;
  flushed: Map<string, Node>;
}
type Node = FileNode | Folder;
type Change = readonly [folder: Folder, name: string, node: Node | undefined];
type Call = (...given: never[]) => Promise<unknown>;

/**
 * A disk in memory below `root`: what the code under test asks of `node:fs/promises` there ends here, each call of a process that may be
 * killed being a step, and each call on a file that it opened. Everything that was not flushed can be lost with the power.
 */
export class KillableDisk {
  readonly root = '/a-disk-in-memory';
  private top = folder();
  private newest: readonly Change[] = [];
  private readonly asker = new AsyncLocalStorage<Readonly<Record<string, Call>>>();
  private readonly spies: { mockRestore(): void }[] = [];

  /** From now on, until `unmount`. */
  mount(): void {
    for (const name of Object.keys(this.calls)) {
      const original = (fs as unknown as Readonly<Record<string, Call>>)[name] as Call;
      const call: Call = (...given) => {
        const [file] = given as readonly unknown[];
        const mine = typeof file === 'string' && file.startsWith(this.root);
        return mine ? ((this.asker.getStore() ?? this.calls)[name] as Call)(...given) : original(...given);
      };
      this.spies.push(jest.spyOn(fs as never, name as never).mockImplementation(call as never));
    }
  }
  unmount(): void {
    for (const spy of this.spies.splice(0)) spy.mockRestore();
  }
  clear(): void {
    this.top = folder();
    this.newest = [];
  }

  /** Work of that process: its calls are steps, and have no effect once it was killed. */
  as<T>(process: Process, work: () => Promise<T>): Promise<T> {
    const files = process.port<Readonly<Record<string, Call>>>('files', this.calls);
    const open: Call = async (...given) => process.port('file', (await (files['open'] as Call)(...given)) as object);
    const asked = Object.fromEntries(Object.keys(this.calls).map((name) => [name, name === 'open' ? open : (files[name] as Call)]));
    return this.asker.run(asked, work);
  }

  cut(what: Cut): void {
    if (what === 'the process alone') return;
    const { newest } = this;
    if (what !== 'contents') forEach(this.top, (node) => node.kind === 'folder' && (node.names = new Map(node.flushed)));
    if (what === 'all names but the newest') for (const change of newest) apply(change);
    forEach(this.top, (node) => {
      if (node.kind === 'folder') node.flushed = new Map(node.names);
      else node.flushed = node.content = node.flushed ?? node.content.subarray(0, node.content.length >> 1);
    });
  }

  /** Every file that is there, by its path. */
  files(): ReadonlyMap<string, Buffer> {
    const found = new Map<string, Buffer>();
    forEach(this.top, (node, at) => node.kind === 'file' && found.set(at, node.content), this.root);
    return found;
  }

  /** The scenario, killed at each of its steps, for each kind of loss. Answers how many steps there are. */
  async everyLoss<World>(scenario: Omit<Scenario<World>, 'run'> & { run(world: World, process: Process): Promise<void> }, every = 1) {
    let steps = 0;
    for (const [i, what] of CUTS.entries()) {
      const killed: Scenario<World> = {
        ...scenario,
        begin: () => {
          this.clear();
          return scenario.begin();
        },
        run: (world, process) => this.as(process, () => scenario.run(world, process)),
        inspect: async (world) => {
          this.cut(what);
          await scenario.inspect?.(world);
        },
      };
      try {
        steps = await everyAwait(killed, every, Math.floor((i * every) / CUTS.length));
      } catch (error) {
        throw new Error(`${what} lost, ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
    }
    return steps;
  }

  private readonly calls: Readonly<Record<string, Call>> = {
    open: async (file: string, flags: 'r' | 'r+' | 'w' | 'wx' = 'r', mode = 0o666) => {
      if (file === this.root) return opened(this.top);
      const [above, name] = this.place(file);
      let node = above.names.get(name);
      if (node !== undefined && flags === 'wx') throw problem('EEXIST', file);
      if (node === undefined && flags.startsWith('r')) throw problem('ENOENT', file);
      if (node === undefined) this.change([above, name, (node = { kind: 'file', content: Buffer.alloc(0), flushed: undefined, mode })]);
      else if (flags === 'w' && node.kind === 'file') node.content = Buffer.alloc(0);
      return opened(node);
    },
    readFile: async (file: string, encoding?: 'utf8') => {
      const { content } = this.file(file);
      return encoding === undefined ? Buffer.from(content) : content.toString(encoding);
    },
    writeFile: async (file: string, content: string | Uint8Array) => {
      const [above, name] = this.place(file);
      const node = above.names.get(name);
      if (node?.kind === 'file') node.content = Buffer.from(content as string);
      else this.change([above, name, { kind: 'file', content: Buffer.from(content as string), flushed: undefined, mode: 0o666 }]);
    },
    mkdir: async (directory: string, { recursive = false }: { readonly recursive?: boolean }) => {
      const parts = this.parts(directory);
      let [at, made] = [this.top, undefined as string | undefined];
      for (const [i, name] of parts.entries()) {
        let next = at.names.get(name);
        if (next === undefined && !recursive && i < parts.length - 1) throw problem('ENOENT', directory);
        if (next === undefined) {
          this.change([at, name, (next = folder())]);
          made ??= path.join(this.root, ...parts.slice(0, i + 1));
        } else if (!recursive && i === parts.length - 1) throw problem('EEXIST', directory);
        if (next.kind !== 'folder') throw problem('ENOTDIR', directory);
        at = next;
      }
      return made;
    },
    rename: async (from: string, to: string) => {
      const [[above, name], [aboveNew, nameNew]] = [this.place(from), this.place(to)];
      this.change([aboveNew, nameNew, this.node(from)], [above, name, undefined]);
    },
    link: async (from: string, to: string) => {
      const [above, name] = this.place(to);
      if (above.names.has(name)) throw problem('EEXIST', to);
      this.change([above, name, this.file(from)]);
    },
    unlink: async (file: string) => {
      this.file(file);
      this.change([...this.place(file), undefined]);
    },
    rm: async (file: string, { force = false }: { readonly force?: boolean }) => {
      const [above, name] = this.place(file);
      if (!above.names.has(name)) {
        if (force) return;
        throw problem('ENOENT', file);
      }
      this.change([above, name, undefined]);
    },
    readdir: async (directory: string) => [...this.folder(directory).names.keys()].sort(),
    opendir: async (directory: string) => {
      const names = [...this.folder(directory).names.keys()].sort();
      return (async function* () {
        for (const name of names) yield { name };
      })();
    },
    stat: async (file: string) => statOf(this.node(file)),
  };

  private change(...changes: readonly Change[]): void {
    for (const change of changes) apply(change);
    this.newest = changes;
  }
  private parts(file: string): readonly string[] {
    return path.relative(this.root, file).split(path.sep).filter(Boolean);
  }
  private node(file: string): Node {
    let at: Node = this.top;
    for (const name of this.parts(file)) {
      const next: Node | undefined = at.kind === 'folder' ? at.names.get(name) : undefined;
      if (next === undefined) throw problem('ENOENT', file);
      at = next;
    }
    return at;
  }
  private folder(directory: string): Folder {
    const node = this.node(directory);
    if (node.kind !== 'folder') throw problem('ENOTDIR', directory);
    return node;
  }
  private file(file: string): FileNode {
    const node = this.node(file);
    if (node.kind !== 'file') throw problem('EISDIR', file);
    return node;
  }
  private place(file: string): [Folder, string] {
    return [this.folder(path.dirname(file)), path.basename(file)];
  }
}

const folder = (): Folder => ({ kind: 'folder', names: new Map(), flushed: new Map() });
const problem = (code: string, file: string): Error => Object.assign(new Error(`${code}: ${file}`), { code });
const statOf = (node: Node) => ({
  isDirectory: () => node.kind === 'folder',
  isFile: () => node.kind === 'file',
  mode: node.kind === 'file' ? node.mode : 0o700,
  size: node.kind === 'file' ? node.content.length : 0,
});

function apply([above, name, node]: Change): void {
  if (node === undefined) above.names.delete(name);
  else above.names.set(name, node);
}

function forEach(node: Node, visit: (node: Node, at: string) => unknown, at = ''): void {
  visit(node, at);
  if (node.kind === 'folder') for (const [name, below] of node.names) forEach(below, visit, path.join(at, name));
}

function opened(node: Node): object {
  const file = (): FileNode => {
    if (node.kind === 'folder') throw problem('EISDIR', 'an opened folder');
    return node;
  };
  return {
    writeFile: async (content: string | Uint8Array) => void (file().content = Buffer.from(content as string)),
    write: async (bytes: Uint8Array, offset: number, length: number, position: number) => {
      const content = Buffer.concat([file().content, Buffer.alloc(Math.max(0, position + length - file().content.length))]);
      content.set(bytes.subarray(offset, offset + length), position);
      file().content = content;
    },
    sync: async () => {
      if (node.kind === 'folder') node.flushed = new Map(node.names);
      else node.flushed = node.content;
    },
    close: async () => undefined,
  };
}
