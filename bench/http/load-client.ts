import { randomUUID } from 'node:crypto';
import { Pool } from 'undici';
import { drive, type Driven, type Player } from '../measure/drive.js';
import { choiceAt } from '../story/room-story.js';

/** Load from a process of its own, so that the servers' event loops are not the clients'. */
export interface LoadOrder {
  readonly url: string;
  /** `choose` plays over GraphQL; `post` sends a body of the same size to a server that does nothing with it. */
  readonly kind: 'choose' | 'post';
  /** One per connection. */
  readonly tokens: readonly string[];
  readonly commands: number;
  readonly ms: number;
}
export type LoadNews = { readonly driven: Driven } | { readonly failure: string };

const PAYLOAD = '{ playthrough { id turn moment { passage { id title text } choices { id label enabled } } } turn position duplicate }';
const START = `mutation Start($input: StartPlaythroughInput!) { startPlaythrough(input: $input) ${PAYLOAD} }`;
const CHOOSE = `mutation Choose($input: ChooseInput!) { choose(input: $input) ${PAYLOAD} }`;

interface Answer {
  readonly data?: {
    readonly [field: string]: { readonly playthrough: { readonly id: string }; readonly turn: number; readonly duplicate: boolean };
  } | null;
  readonly errors?: unknown;
}

class HttpPlayer implements Player {
  private id = '00000000-0000-8000-8000-000000000000';

  constructor(
    private readonly pool: Pool,
    private readonly order: LoadOrder,
    private readonly token: string,
  ) {}

  async next(turn: number): Promise<void> {
    const commandId = randomUUID();
    const start = turn === 0;
    const input = start ? { storyId: 'rooms', commandId } : { playthroughId: this.id, choiceId: choiceAt(turn), turn: turn - 1, commandId };
    const body = JSON.stringify({ query: start ? START : CHOOSE, variables: { input } });
    const answer = (await this.post(body)) as Answer;
    if (this.order.kind === 'post') return;
    const payload = answer.data?.[start ? 'startPlaythrough' : 'choose'];
    if (payload === undefined || payload.turn !== turn || payload.duplicate) throw new Error(JSON.stringify(answer).slice(0, 500));
    this.id = payload.playthrough.id;
  }

  private async post(body: string): Promise<unknown> {
    const path = this.order.kind === 'choose' ? '/graphql' : '/command';
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${this.token}` };
    const response = await this.pool.request({ path, method: 'POST', headers, body });
    const text = await response.body.text();
    if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${text.slice(0, 500)}`);
    return JSON.parse(text);
  }
}

process.on('message', (message) => {
  const order = message as LoadOrder;
  const writers = order.tokens.length;
  const pool = new Pool(order.url, { connections: writers });
  let next = 0;
  const open = (): Player => new HttpPlayer(pool, order, order.tokens[next++ % writers] as string);
  drive(open, { writers, commands: order.commands, ms: order.ms })
    .then(
      (driven): LoadNews => ({ driven }),
      (error: unknown): LoadNews => ({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    )
    .then(async (news) => {
      await pool.close();
      process.send?.(news);
    })
    .catch((error: unknown) => {
      console.error(error);
      process.exit(1);
    });
});
process.once('disconnect', () => process.exit());
