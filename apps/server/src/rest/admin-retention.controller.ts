import { Controller, Get } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';

/** How long what is recorded is kept, for what, and what of it may go. */
@ApiTags('compliance')
@ApiBearerAuth()
@Controller('/admin/compliance/retention')
@Roles('dpo', 'admin', 'compliance')
export class AdminRetentionController {
  constructor(private readonly node: FabulaNode) {}

  @Get()
  @ApiOperation({
    summary: 'Per retention class its purpose, how long it is kept and since whose decision, its oldest leaf, and what of it may be pruned',
    description:
      '`expired` names partitions and offsets as the action `prune` takes them; `heldBy` the holds that stand against it; `pruned` what has gone. `log` tells of each partition where it begins and ends, and with which base, taken for which action. Times: ms since the epoch.',
  })
  async report(): Promise<object> {
    const { retention } = this.node;
    return { classes: await retention.report(), log: await retention.log.report() };
  }
}
