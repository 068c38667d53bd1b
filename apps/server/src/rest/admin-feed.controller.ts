import { Body, Controller, Get, HttpCode, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { checked } from '../http/input.js';
import { Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';

const resetBody = z.strictObject({ to: z.enum(['start', 'end']) });

@ApiTags('operations')
@ApiBearerAuth()
@Controller('/admin/feed')
@Roles('operator')
export class AdminFeedController {
  constructor(private readonly node: FabulaNode) {}

  @Get()
  @ApiOperation({
    summary: 'How far the public feed is, in each partition',
    description: '`publisher` is what the asked process publishes itself. `CONFLICT` where `KAFKA_BROKERS` is not set: there is no feed.',
  })
  async feed(): Promise<object> {
    return { ...(await this.node.feed.progress()), publisher: this.node.feed.status() };
  }

  @Post('reset')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Sets from where the log is published',
    description: '`start`: everything again, the same events with the same ids. `end`: what is not yet published never is.',
  })
  @ApiBody({ schema: { type: 'object', required: ['to'], properties: { to: { type: 'string', enum: ['start', 'end'] } } } })
  async reset(@Body() body: unknown): Promise<object> {
    await this.node.feed.reset(checked(resetBody, body).to);
    return this.node.feed.progress();
  }
}
