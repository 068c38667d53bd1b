import { Controller, Get, Header, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Public } from '../http/roles.js';
import { FabulaNode } from '../node.js';

@ApiTags('operations')
@Controller()
@Public()
export class HealthController {
  constructor(private readonly node: FabulaNode) {}

  @Get('/health/live')
  @ApiOperation({ summary: 'The process runs' })
  live(): { status: 'live' } {
    return { status: 'live' };
  }

  @Get('/health/ready')
  @ApiOperation({ summary: 'The process can do what its roles ask; 503 and the reasons otherwise' })
  async ready(
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<{ status: 'ready' | 'not ready'; problems: Record<string, string>; notes: Record<string, string> }> {
    const database = await this.node.databaseProblem();
    const { problems: own, waiting } = this.node.problems();
    // With a log elsewhere, playthroughs in memory go on without the database: no load balancer should take the process away.
    // Partitions that wait for the database would wait in any other process too.
    const goesOn = this.node.config.log !== 'postgres' && Object.keys(database).length > 0;
    const problems = goesOn ? own : { ...own, ...waiting, ...database };
    const notes = goesOn ? { ...this.node.notes(), ...waiting, ...database } : this.node.notes();
    const ready = Object.keys(problems).length === 0;
    void reply.status(ready ? 200 : 503);
    return { status: ready ? 'ready' : 'not ready', problems, notes };
  }

  @Get('/metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  @ApiOperation({ summary: 'Prometheus metrics; counts only, nothing about persons' })
  metrics(): Promise<string> {
    return this.node.metrics.registry.metrics();
  }
}
