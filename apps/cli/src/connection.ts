import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { DevelopmentIssuerRefused, openDevelopmentIssuer, USER_ROLES, type DevelopmentIssuer, type UserRole } from '#lib/platform';
import { EXIT, CliFailure, wrongUsage } from './exit-codes.js';
import { HttpClient } from './http-client.js';
import type { Cli } from './cli.js';

export interface ConnectionOptions {
  readonly url?: string;
  readonly token?: string;
}

/** The options of every command that talks to a server. */
export function connecting(command: Command): Command {
  return command
    .option('--url <url>', 'the server (FABULA_URL; default: the one that runs on the data directory)', httpUrl)
    .option('--token <jwt>', 'who you are (FABULA_TOKEN; default: made here for a local development server)');
}

function httpUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InvalidArgumentError('An address like http://127.0.0.1:8080 is needed.');
  return text;
}

export const dataDirOf = ({ env }: Pick<Cli, 'env'>): string => given(env['FABULA_DATA_DIR']) ?? './.fabula';
const given = (text: string | undefined): string | undefined => (text === undefined || text === '' ? undefined : text);

/**
 * The server that the options, the environment or the data directory name.
 * @throws CliFailure with 2 for a wrong environment, 3 when no server is known
 */
export async function connect(cli: Cli, options: ConnectionOptions): Promise<HttpClient> {
  const url = options.url ?? given(cli.env['FABULA_URL']) ?? (await runningServer(cli));
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw wrongUsage(`FABULA_URL is not an address like http://127.0.0.1:8080`);
  const token = options.token ?? given(cli.env['FABULA_TOKEN']) ?? (await localToken(cli, url));
  return new HttpClient(cli, { url, token });
}

/** A running server writes its address into its data directory. */
async function runningServer(cli: Cli): Promise<string> {
  const file = path.join(dataDirOf(cli), 'server.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch {
    // Missing or unreadable comes to the same for the caller: no server is known.
    throw new CliFailure(`No server is known: there is no ${file}.`, EXIT.unreachable, [
      'Start one with `npm start`, or name one with --url or FABULA_URL; FABULA_DATA_DIR names another data directory.',
    ]);
  }
  const url = addressIn(text);
  if (url === undefined) throw new CliFailure(`${file} does not name a server.`, EXIT.unreachable, ['Name one with --url or FABULA_URL.']);
  return url;
}

function addressIn(text: string): string | undefined {
  try {
    const { url } = JSON.parse(text) as { url?: unknown };
    return typeof url === 'string' && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol) ? url : undefined;
  } catch {
    // Half written or another program's: no address in it.
    return undefined;
  }
}

/** Whoever can read the data directory of a development server has every role there; no other server gets such a token. */
async function localToken(cli: Cli, url: string): Promise<string> {
  const { hostname } = new URL(url);
  const local = hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
  if (!local) throw wrongUsage(`${url} needs a token: give it with --token or FABULA_TOKEN.`);
  if (!(await hasIssuer(cli))) {
    throw wrongUsage(
      `No token: there is no development issuer in ${dataDirOf(cli)}.`,
      'Give one with --token or FABULA_TOKEN, or set FABULA_DATA_DIR to that of the server.',
    );
  }
  const issuer = await developmentIssuer(cli);
  return issuer.mintToken({ sub: 'fabula-command-line', roles: COMMAND_LINE_ROLES, ttlSeconds: 3_600 });
}

/** What the commands here need; reading as a reader and erasing are not among it. */
const COMMAND_LINE_ROLES: readonly UserRole[] = USER_ROLES.filter(
  (role) => role === 'author' || role === 'operator' || role === 'compliance',
);

export async function hasIssuer(cli: Cli): Promise<boolean> {
  return stat(path.join(dataDirOf(cli), 'development-issuer.json')).then(
    () => true,
    () => false,
  );
}

/** @throws CliFailure with 2 in production or when its key cannot be used */
export async function developmentIssuer(cli: Cli): Promise<DevelopmentIssuer> {
  try {
    return await openDevelopmentIssuer(dataDirOf(cli), cli.env['NODE_ENV'] === 'production');
  } catch (error) {
    if (error instanceof DevelopmentIssuerRefused) throw wrongUsage(error.message);
    throw wrongUsage(
      `The development issuer in ${dataDirOf(cli)} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
