import { Controller, Get } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import { partitionOfLog } from '#lib/audit';
import { liveCounts } from '#lib/projections';
import { Recorded, Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';

/** What the server counts of itself, for whoever watches the audit from outside and counts too. */
@ApiTags('audit')
@ApiBearerAuth()
@Controller('/audit')
@Roles('compliance')
@Recorded('sensitive_read', 'once')
export class AuditReconciliationController {
  constructor(private readonly node: FabulaNode) {}

  @Get('reconciliation')
  @ApiOperation({ summary: 'Per partition: where the log ends, where auditor and read models stand, and the verdicts that those counted' })
  async reconciliation(): Promise<object> {
    const { audit, log, logId, pool } = this.node;
    // What follows the log is asked first: it cannot be ahead of an end that is read later.
    const counts = await liveCounts(pool, logId);
    const heads = (await audit.store.heads()).filter((head) => head.logId === logId);
    const partitions = await Promise.all(
      Array.from({ length: log.partitions }, async (_, partition) => {
        const head = heads.find((one) => partitionOfLog(one.log) === partition);
        const projected = counts.find((one) => one.partition === partition);
        return {
          partition,
          logEnd: await log.end(partition),
          audited: head?.nextOffset ?? 0,
          leaves: String(head?.size ?? 0n),
          projected: projected ?? null,
        };
      }),
    );
    return { logId, partitions };
  }
}
