import { Body, Controller, HttpCode, Post, Req } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { decodeRequest, replyOf, type Reply } from '#lib/engine';
import { FabulaError } from '#lib/platform';
import { Public } from '../http/roles.js';
import { INTERNAL_PATH, INTERNAL_SECRET_HEADER } from '../internal-transport.js';
import { FabulaNode } from '../node.js';

/** Commands from other processes on the same database; known by the database's secret, not by tokens. */
@ApiExcludeController()
@Controller()
@Public()
export class InternalController {
  constructor(private readonly node: FabulaNode) {}

  @Post(INTERNAL_PATH)
  @HttpCode(200)
  execute(@Req() request: FastifyRequest, @Body() body: unknown): Promise<Reply> {
    // Nobody outside needs to know that this path is here.
    if (!this.node.transport.knows(request.headers[INTERNAL_SECRET_HEADER])) throw new FabulaError('NOT_FOUND');
    return replyOf(this.node.executeForwarded(decodeRequest(JSON.stringify(body))));
  }
}
