import { Controller, Get, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { ACCESS_EVENTS, formatAccessKey, listAccess, parseAccessKey } from '#lib/audit';
import { FabulaError } from '#lib/platform';
import { checked, text, time } from '../http/input.js';
import { Recorded, Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';

const listQuery = z
  .strictObject({
    actor: text(200).optional(),
    event: z.enum(ACCESS_EVENTS).optional(),
    correlationId: text(200).optional(),
    playthroughId: text(100).optional(),
    storyId: text(120).optional(),
    outcome: text(64).optional(),
    exportId: z.string().uuid().optional(),
    from: time.optional(),
    to: time.optional(),
    first: z.coerce.number().int().min(1).max(1_000).default(100),
    after: z.string().max(60).optional(),
  })
  .refine(
    // No index knows it: alone it would read the whole log.
    ({ outcome, after: _after, first: _first, ...others }) =>
      outcome === undefined || Object.values(others).some((given) => given !== undefined),
    'outcome goes with another one of actor, event, correlationId, playthroughId, storyId, exportId, from, to',
  );

/** Who looked at what. */
@ApiTags('audit')
@ApiBearerAuth()
@Controller('/audit/access')
@Roles('compliance')
export class AccessController {
  constructor(private readonly node: FabulaNode) {}

  @Get()
  @Recorded('sensitive_read', 'once')
  @ApiOperation({
    summary: 'Entries of the access log, newest first',
    description:
      'By `actor` (pseudonym), `event`, `correlationId`, `playthroughId` or `storyId` (who looked at it), `exportId` (what became of it), and time; `outcome` beside one of them. The exact bytes and their proofs are under `/audit/logs/access`.',
  })
  async list(@Query() query: unknown): Promise<object> {
    const { first, after, playthroughId, storyId, ...wanted } = checked(listQuery, query);
    const key = after === undefined ? undefined : parseAccessKey(after);
    if (after !== undefined && key === undefined)
      throw new FabulaError('BAD_INPUT', 'after is not a cursor of this list', { details: { field: 'after' } });
    if (playthroughId !== undefined && storyId !== undefined) throw new FabulaError('BAD_INPUT', 'either playthroughId or storyId');
    const stream = playthroughId !== undefined ? `playthrough/${playthroughId}` : storyId === undefined ? undefined : `story/${storyId}`;
    const { entries, next } = await listAccess(this.node.pool, { ...wanted, stream, limit: first, after: key });
    return { entries, next: next === undefined ? null : formatAccessKey(next) };
  }
}
