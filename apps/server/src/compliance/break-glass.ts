import type { ComplianceState, OpenGlass } from '#lib/compliance';

/** How long what was read last is trusted: an opening or a closing by another process takes effect within that time. */
const TRUSTED_MS = 1_000;

/** Who may read bodies just now, although their role alone does not let them. */
export class BreakGlass {
  private known: { readonly glasses: readonly OpenGlass[]; readonly at: number } | undefined;

  constructor(private readonly state: () => Promise<ComplianceState | null>) {}

  /**
   * The broken glass that is open for that actor; undefined: none is. Whatever it lets them do is filed under its `id` and `correlationId`.
   * @param now ms since the epoch
   * @throws when the read models cannot be asked: then nothing is open
   */
  async open(actor: string, now: number): Promise<OpenGlass | undefined> {
    return (await this.glasses(now)).find(({ by, until }) => by === actor && until > now);
  }

  /** All that are open. */
  async all(now: number): Promise<readonly OpenGlass[]> {
    return (await this.glasses(now)).filter(({ until }) => until > now);
  }

  /** Something was opened or closed here: look again. */
  changed(): void {
    this.known = undefined;
  }

  private async glasses(now: number): Promise<readonly OpenGlass[]> {
    const { known } = this;
    if (known !== undefined && now - known.at < TRUSTED_MS && now >= known.at) return known.glasses;
    const glasses = (await this.state())?.glasses ?? [];
    this.known = { glasses, at: now };
    return glasses;
  }
}
