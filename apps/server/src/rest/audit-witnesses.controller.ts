import { Controller, Get, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { checked } from '../http/input.js';
import { Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
const listQuery = z.strictObject({ first: z.coerce.number().int().min(1).max(100).default(10) });

/** What others say of the signed trees. */
@ApiTags('audit')
@ApiBearerAuth()
@Controller('/audit')
@Roles('compliance')
export class AuditWitnessesController {
  constructor(private readonly node: FabulaNode) {}

  @Get('witnesses')
  @ApiOperation({ summary: 'Whether the quorum of witnesses is reached, what each cosigned last, and how copies and timestamps do' })
  async witnesses(): Promise<object> {
    const { witnessing } = this.node.audit;
    const quorum = await witnessing.quorum();
    const { copying, timestamps } = witnessing.known();
    return {
      quorum: quorum?.quorum ?? 'none',
      witnesses: (quorum?.witnesses ?? []).map(({ size, cosignedAt, ...witness }) => ({
        ...witness,
        size: size === null ? null : String(size),
        cosignedAt: iso(cosignedAt),
      })),
      copying: copying ?? null,
      timestamps: timestamps === undefined ? null : { ...timestamps, stampedAt: iso(timestamps.stampedAt) },
    };
  }

  @Get('forks')
  @ApiOperation({ summary: 'Contradictions that witnesses found: both signed notes and the proof that fails between them; newest first' })
  async forks(): Promise<object> {
    const forks = await this.node.audit.witnessing.forks();
    return {
      forks: forks.map(({ log, kind, witness, foundAt, ours, theirs, oldSize, proof }) => ({
        log,
        kind,
        witness,
        foundAt: iso(foundAt),
        ours,
        theirs,
        oldSize: String(oldSize),
        proof,
      })),
    };
  }

  @Get('timestamps')
  @ApiOperation({
    summary: 'Timestamps (RFC 3161) on signed notes of the root tree: the exact note, and the answer as base64 of DER; newest first',
  })
  async timestamps(@Query() query: unknown): Promise<object> {
    const { first } = checked(listQuery, query);
    const timestamps = await this.node.audit.witnessing.timestamps(first);
    return {
      timestamps: timestamps.map(({ log, size, stampedAt, authority, note, response }) => ({
        log,
        size: String(size),
        stampedAt: iso(stampedAt),
        authority,
        note,
        response: response.toString('base64'),
      })),
    };
  }
}
