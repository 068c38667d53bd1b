import { Controller, Get, Param, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { LeavesPruned, parseLogName, Tiles } from '#lib/audit';
import { FabulaError } from '#lib/platform';
import { Recorded, Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';
import { prunedError } from '../retention/pruned-error.js';

/** What never changes may be kept by whoever asked, but not by anybody on the way: it is not public. */
const IMMUTABLE = 'private, max-age=31536000, immutable';

/** The trees as C2SP tlog-tiles, for tools that read such logs; together with `/audit/logs/{log}/checkpoint` it is all that they need. */
@ApiTags('audit')
@ApiBearerAuth()
@Controller('/audit/logs')
@Roles('compliance')
@Recorded('sensitive_read', 'once')
export class AuditTilesController {
  constructor(private readonly node: FabulaNode) {}

  @Get(':log/tile/*')
  @ApiParam({
    name: 'path',
    description: '`{L}/{N}[.p/{W}]`: hashes, or `entries/{N}[.p/{W}]`: entries, each behind its length as two bytes',
  })
  @ApiOperation({ summary: 'A tile of the signed tree (C2SP tlog-tiles); its bytes never change' })
  async tile(@Param('log') name: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const { audit, logId } = this.node;
    const log = parseLogName(name);
    const { pathname } = new URL(request.url, 'http://localhost');
    const path = pathname.slice(pathname.indexOf('/tile/') + 1);
    let bytes;
    try {
      bytes = log === undefined ? undefined : await new Tiles(audit.store, logId).read(log, path);
    } catch (error) {
      if (error instanceof LeavesPruned) throw prunedError(error);
      throw error;
    }
    if (bytes === undefined) throw new FabulaError('NOT_FOUND', 'this tile is not in the signed tree');
    await reply.type('application/octet-stream').header('cache-control', IMMUTABLE).send(bytes);
  }
}
