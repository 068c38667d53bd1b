import { Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { FabulaError } from '#lib/platform';
import { bodiesShown, withheld } from '../access/bodies.js';
import { checked, pageQuery, text } from '../http/input.js';
import { Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';
import { connectionOf, turnView } from '../play/history.js';

const playthroughsQuery = pageQuery.extend({ storyId: text(120).optional(), status: z.enum(['active', 'ended']).optional() });
const turnsQuery = pageQuery.extend({ checkpoints: z.enum(['true', 'false']).default('false') });

@ApiTags('support')
@ApiBearerAuth()
@Controller('/admin/playthroughs')
@Roles('author', 'operator')
export class AdminPlaythroughsController {
  constructor(private readonly node: FabulaNode) {}

  @Get()
  @ApiOperation({ summary: "Everybody's playthroughs, last started first; readers by pseudonym" })
  list(@Query() query: unknown): Promise<object> {
    const { storyId, status, ...page } = checked(playthroughsQuery, query);
    return connectionOf(
      page,
      async (request) => (await this.node.reads.playthroughs({ ...request, storyId, status })).value,
      (row) => row,
    );
  }

  @Get(':id/turns')
  @ApiOperation({
    summary: 'Every turn of one playthrough, oldest first',
    description:
      '`checkpoints=true` puts the bookmarks between them: then every event is there, and they can be folded again. Operators see type, size and digest of each event, not what was read or chosen.',
  })
  async turns(@Param('id') id: string, @Query() query: unknown, @Req() request: FastifyRequest): Promise<object> {
    const { checkpoints, ...page } = checked(turnsQuery, query);
    const { value } = await this.node.reads.playthrough(checked(text(200), id));
    if (value === undefined) throw new FabulaError('PLAYTHROUGH_NOT_FOUND');
    const story = await this.node.content(value.versionHash);
    const shown = await bodiesShown(request.fabula, this.node.compliance.breakGlass, Date.now(), 'author');
    return connectionOf(
      page,
      async (wanted) => (await this.node.reads.turns(id, { ...wanted, checkpoints: checkpoints === 'true' })).value,
      (row) => {
        const { turn, kind, correlationId, ...told } = turnView(story, row);
        const place = { turn, kind, correlationId, at: new Date(row.at).toISOString(), stateHash: row.stateHash, offset: row.offset };
        return shown ? { ...told, ...place, events: row.events } : { ...place, withheld: true, events: row.events.map(withheld) };
      },
    );
  }
}

@ApiTags('operations')
@ApiBearerAuth()
@Controller('/admin')
@Roles('operator')
export class AdminProjectionsController {
  constructor(private readonly node: FabulaNode) {}

  @Get('projections')
  @ApiOperation({
    summary: 'How far the read models are, which generations there are, and how a rebuild goes',
    description: "Each partition's `owner` is `self`, the address of another process, or null while none is known.",
  })
  async projections(): Promise<object> {
    const { partitions, generations } = await this.node.reads.status(this.node.log, this.node.oldest);
    const owned = partitions.map((row) => ({ ...row, owner: this.node.ownerOf(row.partition) }));
    return { partitions: owned, generations, rebuild: this.node.projections.rebuildProgress(), projector: this.node.projections.status() };
  }

  @Post('projections/rebuild')
  @HttpCode(202)
  @ApiOperation({ summary: 'Builds the read models anew beside the live ones and switches when they agree' })
  rebuild(): object {
    return this.node.projections.rebuild();
  }

  @Get('parked')
  @ApiOperation({ summary: 'Streams held back, longest first, with reasons' })
  parked(@Query() query: unknown): Promise<object> {
    return connectionOf(
      checked(pageQuery, query),
      async (page) => (await this.node.reads.parked(page)).value,
      (row) => row,
    );
  }

  @Post('parked/:id/retry')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Applies the held-back records of a stream, in order, after the cause was mended',
    description: '`id` is the stream, URL-encoded: playthrough%2F…',
  })
  async retry(@Param('id') id: string): Promise<object> {
    const outcome = await this.node.projections.retryParked(checked(text(300), id));
    if (outcome.kind === 'not-parked') throw new FabulaError('NOT_FOUND', 'this stream is not parked');
    if (outcome.kind === 'still-parked') throw new FabulaError('CONFLICT', `still parked: ${outcome.reason}`);
    return outcome;
  }
}
