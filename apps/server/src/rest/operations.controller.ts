import { Controller, Get } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Recorded, Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';

@ApiTags('operations')
@ApiBearerAuth()
@Controller('/admin')
@Roles('operator')
export class OperationsController {
  constructor(private readonly node: FabulaNode) {}

  // Looked at every few seconds, and most of all while the database is away; it shows counts and states, nothing about persons.
  @Get('operations')
  @Recorded('sensitive_read', 'counted')
  @ApiOperation({
    summary: 'Partitions, owners, lag, parked streams, dead letters, throughput, and who is degraded and why',
    description:
      'Positions and counts hold for the whole deployment and are at most 5 seconds old; `null` means that they cannot be read now. `commands`, `busiestStreams` and breakers are those of the process that answers. `degraded` says who, why, since when, and what to do.',
  })
  operations(): Promise<object> {
    return this.node.operations.report();
  }
}
