import { Problem } from './problem.js';

/** Where a host page leaves its reader's token before it opens the player. */
export const HOST_TOKEN_KEY = 'fabula.token';
const READER_KEY = 'fabula.reader';
/** Renewed this long before it ends, so that no request carries one that expires on its way. */
const RENEW_BEFORE_MS = 60_000;

export interface TokenSource {
  /** @throws Problem UNAUTHENTICATED, NETWORK */
  token(): Promise<string>;
  /** The server refused the token: the next one is asked for anew. */
  refused(): void;
}

interface Issued {
  readonly token: string;
  readonly expiresAt: number;
}

/**
 * The host page's token if there is one; else one from the development issuer (`GET /play/token`), which knows this browser by a random name.
 */
export function browserTokens(environment: {
  readonly fetch: typeof fetch;
  readonly local: Pick<Storage, 'getItem' | 'setItem'>;
  readonly session: Pick<Storage, 'getItem'>;
  readonly now: () => number;
  readonly newName: () => string;
}): TokenSource {
  const { local, session, now } = environment;
  let issued: Promise<Issued> | undefined;

  const readerName = (): string => {
    const known = local.getItem(READER_KEY);
    if (known !== null && known !== '') return known;
    const name = environment.newName();
    local.setItem(READER_KEY, name);
    return name;
  };
  const issue = async (): Promise<Issued> => {
    let response: Response;
    try {
      response = await environment.fetch(`/play/token?reader=${encodeURIComponent(readerName())}`, {
        headers: { accept: 'application/json' },
      });
    } catch (error) {
      throw new Problem('NETWORK', String(error), true);
    }
    if (!response.ok) {
      throw new Problem('UNAUTHENTICATED', `the issuer of tokens answered ${response.status}`, response.status >= 500);
    }
    const body = (await response.json()) as { token?: unknown; expiresAt?: unknown };
    const { token, expiresAt } = body;
    const end = typeof expiresAt === 'number' ? expiresAt : typeof expiresAt === 'string' ? Date.parse(expiresAt) : Number.NaN;
    if (typeof token !== 'string' || Number.isNaN(end)) throw new Problem('UNAUTHENTICATED', 'the issuer sent no token', false);
    return { token, expiresAt: end };
  };

  return {
    async token() {
      const host = session.getItem(HOST_TOKEN_KEY);
      if (host !== null && host !== '') return host;
      const asked = (issued ??= issue());
      try {
        const current = await asked;
        if (current.expiresAt - RENEW_BEFORE_MS > now()) return current.token;
        if (issued === asked) issued = issue();
        return (await issued).token;
      } catch (error) {
        issued = undefined;
        throw error;
      }
    },
    refused() {
      issued = undefined;
    },
  };
}
