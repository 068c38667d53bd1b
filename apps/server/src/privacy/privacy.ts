import path from 'node:path';
import type { Pool } from 'pg';
import { createPool, errorText, pause, systemClock, systemTimers, type Config, type Logger, type TokenVerifier } from '#lib/platform';
import {
  Eraser,
  FileKeyEncryption,
  ForgottenFollower,
  KekRotation,
  Keyring,
  LegacyKeys,
  PostgresPseudonyms,
  PostgresSubjectKeys,
  Pseudonyms,
  Sealer,
  type KeyEncryption,
} from '#lib/privacy';
import { Authenticator } from '../http/auth.js';

interface PrivacyOptions {
  readonly config: Config;
  /** Of the database that holds everything else; the keys are there too unless they have one of their own. */
  readonly pool: Pool;
  readonly databaseUrl: string;
  readonly logger: Logger;
  /** Of the tokens that are taken here. */
  readonly issuer: string;
}

/** Keys and seals are asked for rarely: a few connections do for a database of their own. */
const KEY_CONNECTIONS = 4;
const SETTLE_AGAIN_MS = 3_000;

/** What one process knows of people: who is behind a token, what is sealed for whom, and how either is forgotten. */
export class Privacy {
  readonly sealer: Sealer;
  readonly eraser: Eraser;
  readonly rotation: KekRotation;
  private readonly authenticators = new Set<Authenticator>();
  private follower: ForgottenFollower | undefined;
  private readonly stopped = new AbortController();
  private settling: Promise<void> | undefined;

  private constructor(
    private readonly options: PrivacyOptions,
    private readonly pool: Pool,
    readonly keyring: Keyring,
    readonly pseudonyms: Pseudonyms,
    private readonly legacy: LegacyKeys,
    table: PostgresPseudonyms,
    keys: PostgresSubjectKeys,
  ) {
    this.sealer = new Sealer(keys);
    this.rotation = new KekRotation(pool, keyring);
    this.eraser = new Eraser(keys, table, (pseudonym) => this.drop(pseudonym));
  }

  /**
   * Opens the keys. A process that neither answers readers nor carries out erasures needs none, and does without the folder.
   * @throws KekMissing, KekUnusable, WrapBroken
   */
  static async open(
    options: PrivacyOptions,
    encryption: KeyEncryption = new FileKeyEncryption(kekFolder(options.config)),
  ): Promise<Privacy> {
    const { config, pool: main, databaseUrl, logger } = options;
    const pool = keyPool(options) ?? main;
    try {
      const keyring = new Keyring(pool, encryption);
      const legacy = new LegacyKeys(databaseUrl, main, pool, keyring);
      const table = new PostgresPseudonyms(pool, () => keyring.open(), legacy);
      const keys = new PostgresSubjectKeys(pool, keyring, legacy);
      const privacy = new Privacy(options, pool, keyring, new Pseudonyms(table), legacy, table, keys);
      if (config.roles.includes('api') || config.roles.includes('auditor')) {
        await keyring.open();
        await privacy.settle();
        if (legacy.open) privacy.settling = privacy.settleLater();
        privacy.follower = await ForgottenFollower.open({
          pool,
          url: config.keysDatabaseUrl ?? databaseUrl,
          timers: systemTimers,
          onForgotten: (pseudonym) => privacy.drop(pseudonym),
          onProblem: (problem) => logger.debug({ problem }, 'following erasures failed; tried again'),
        });
      }
      return privacy;
    } catch (error) {
      if (pool !== main) await pool.end();
      throw error;
    }
  }

  /** Takes tokens and answers who they are of, by pseudonym; forgets with everybody else. */
  authenticator(verifier: TokenVerifier): Authenticator {
    const { issuer } = this.options;
    const authenticator = new Authenticator(verifier, (subject) => this.pseudonyms.of(issuer, subject), systemClock.now);
    this.authenticators.add(authenticator);
    return authenticator;
  }

  /** The pseudonym of a person, if it has one. `issuer`: absent, the one whose tokens are taken here. */
  async lookup(sub: string, issuer = this.options.issuer): Promise<string | null> {
    return this.pseudonyms.find(issuer, sub);
  }

  async close(): Promise<void> {
    this.stopped.abort();
    await this.settling;
    await this.follower?.stop();
    if (this.pool !== this.options.pool) await this.pool.end();
  }

  /** What the keys' database knows of a pseudonym. `begun`: a key of it was destroyed. */
  async standing(pseudonym: string): Promise<{ readonly known: boolean; readonly begun: boolean; readonly forgotten: boolean }> {
    const { rows } = await this.pool.query<{ linked: boolean; keyed: boolean; begun: boolean; forgotten: boolean }>(
      `select exists (select from fabula_keys.subjects where pseudonym = $1) as linked,
         exists (select from fabula_keys.subject_keys where subject = $1) as keyed,
         exists (select from fabula_keys.subject_keys where subject = $1 and destroyed_at is not null) as begun,
         exists (select from fabula_keys.forgotten where subject = $1) as forgotten`,
      [pseudonym],
    );
    const { linked = false, keyed = false, begun = false, forgotten = false } = rows[0] ?? {};
    // While servers of an earlier release run, links and keys may lie where they keep them.
    return { known: linked || keyed || forgotten || this.legacy.open, begun, forgotten };
  }

  /** Asks the database, not this process's memory, and brings that in step. */
  async forgotten(pseudonym: string): Promise<boolean> {
    const { forgotten } = await this.standing(pseudonym);
    if (forgotten) this.drop(pseudonym);
    return forgotten;
  }

  /** Why nobody can be forgotten now; null: somebody can. */
  hindrance(): string | null {
    return this.legacy.open ? 'servers of an earlier release still run: they hear of no erasure' : null;
  }

  private async settle(): Promise<void> {
    const { subjects, keys } = await this.legacy.settle();
    if (subjects + keys > 0) this.options.logger.info({ subjects, keys }, 'subjects and keys that lay in clear were brought over');
  }

  /** As soon as the last server of an earlier release is gone. */
  private async settleLater(): Promise<void> {
    const { signal } = this.stopped;
    while (this.legacy.open && !signal.aborted) {
      await pause(systemTimers, SETTLE_AGAIN_MS, signal);
      if (signal.aborted) return;
      await this.settle().catch((error: unknown) => {
        this.options.logger.warn({ error: errorText(error) }, 'subjects and keys that lie in clear could not be brought over; tried again');
      });
    }
  }

  private drop(pseudonym: string): void {
    this.pseudonyms.drop(pseudonym);
    for (const authenticator of this.authenticators) authenticator.forget(pseudonym);
  }
}

function keyPool({ config, logger }: PrivacyOptions): Pool | undefined {
  if (config.keysDatabaseUrl === undefined) return undefined;
  return createPool({
    url: config.keysDatabaseUrl,
    max: KEY_CONNECTIONS,
    statementTimeoutMs: config.statementTimeoutMs,
    applicationName: 'fabula-keys',
    onIdleError: (error) => logger.debug({ error }, 'an idle connection to the database of the keys ended'),
  });
}

const kekFolder = (config: Config): string => path.resolve(config.kekDir ?? path.join(config.dataDir, 'keks'));
