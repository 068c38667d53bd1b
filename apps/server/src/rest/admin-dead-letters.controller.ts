import { Body, Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { FabulaError } from '#lib/platform';
import { DEAD_LETTER_KINDS } from '#lib/projections';
import { bodiesShown } from '../access/bodies.js';
import { requireRole } from '../http/auth.js';
import { checked, pageQuery, text } from '../http/input.js';
import { Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';
import { connectionOf } from '../play/history.js';

const listQuery = pageQuery.extend({
  status: z.enum(['open', 'retried', 'released']).optional(),
  kind: z.enum(DEAD_LETTER_KINDS as [(typeof DEAD_LETTER_KINDS)[number]]).optional(),
  partition: z.coerce.number().int().min(0).max(4_095).optional(),
});
const place = z.strictObject({
  partition: z.coerce.number().int().min(0).max(4_095),
  offset: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
});
const releaseBody = z.strictObject({ reason: text(500).refine((reason) => reason.trim().length >= 3, 'at least 3 characters') });

/** Records of the log that could not be used, and what operators decide about them. */
@ApiTags('operations')
@ApiBearerAuth()
@Controller('/admin/dead-letters')
@Roles('operator')
export class AdminDeadLettersController {
  constructor(private readonly node: FabulaNode) {}

  @Get()
  @ApiOperation({
    summary: 'Records that could not be used, in the order in which the log took them',
    description: '`status`: open, retried or released; `kind`; `partition`; pages by `first` and `after`.',
  })
  list(@Query() query: unknown): Promise<object> {
    const { status, kind, partition, ...page } = checked(listQuery, query);
    return connectionOf(
      page,
      (request) => this.node.deadLetters.list({ status, kind, partition }, request),
      (row) => row,
    );
  }

  @Get(':partition/:offset')
  @ApiOperation({
    summary: 'One of them, with size and digest',
    description:
      'Behind broken glass also with its headers and bytes (base64; of oversized records the beginning) and, when they are JSON, decoded; otherwise these are null and `withheld` is true.',
  })
  async show(@Param('partition') partition: string, @Param('offset') offset: string, @Req() request: FastifyRequest): Promise<object> {
    const at = checked(place, { partition, offset });
    const letter = await this.node.deadLetters.find(at.partition, at.offset);
    if (letter === undefined) throw notFound();
    const { bytes, headers, ...view } = letter;
    const complete = bytes.length === view.size;
    if (!(await bodiesShown(request.fabula, this.node.compliance.breakGlass, Date.now())))
      return { ...view, complete, withheld: true, headers: null, bytes: null, decoded: null };
    return { ...view, complete, withheld: false, headers, bytes: bytes.toString('base64'), decoded: decodedOf(bytes) };
  }

  @Post(':partition/:offset/retry')
  @HttpCode(200)
  @ApiOperation({ summary: 'Tries once more to use a record, after its cause was mended; for a parked stream all its held-back records' })
  async retry(@Param('partition') partition: string, @Param('offset') offset: string): Promise<object> {
    const at = checked(place, { partition, offset });
    const outcome = await this.node.deadLetters.retry(at.partition, at.offset);
    if (outcome.kind === 'not-found') throw notFound();
    if (outcome.kind === 'refused') throw new FabulaError('CONFLICT', outcome.reason);
    return outcome;
  }

  @Post(':partition/:offset/release')
  @HttpCode(200)
  @ApiBody({
    schema: { type: 'object', required: ['reason'], properties: { reason: { type: 'string', minLength: 3, maxLength: 500 } } },
  })
  @ApiOperation({
    summary: 'Goes on without a record, for a recorded reason',
    description:
      'Invalid ones and those of parked streams are acknowledged; the stream stays parked. One of an unknown envelope version is from now on invalid for every reader, for ever, and its partition goes on.',
  })
  async release(
    @Param('partition') partition: string,
    @Param('offset') offset: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
  ): Promise<object> {
    const at = checked(place, { partition, offset });
    const { reason } = checked(releaseBody, body);
    const { actor } = requireRole(request.fabula.caller, 'operator');
    const outcome = await this.node.deadLetters.release(at.partition, at.offset, actor, reason.trim());
    if (outcome.kind === 'not-found') throw notFound();
    if (outcome.kind === 'refused') throw new FabulaError('CONFLICT', outcome.reason);
    this.node.logger.warn({ ...at, kind: outcome.letter.kind, actor }, 'a dead letter was released');
    return outcome.letter;
  }
}

function notFound(): FabulaError {
  return new FabulaError('NOT_FOUND', 'there is no dead letter at this place');
}

/** Null when the bytes are not JSON, or not all there. */
function decodedOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    // Garbage is what dead letters are made of; the bytes themselves are in the answer.
    return null;
  }
}
