import { Body, Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ACTION_KINDS, COMPLIANCE_STREAM, type ActionKind, type Asked, type ComplianceEvent, type HoldScope } from '#lib/compliance';
import { FabulaError } from '#lib/platform';
import { PSEUDONYM } from '#lib/privacy';
import type { ComplianceHoldRow } from '#lib/projections';
import type { Asking, Done } from '../compliance/compliance-service.js';
import { requireRole } from '../http/auth.js';
import { checked, pageQuery, text } from '../http/input.js';
import { Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';
import { connectionOf } from '../play/history.js';

const STAGES = ['proposed', 'approved', 'begun', 'carried-out', 'refused', 'withdrawn', 'expired'] as const;
const KINDS = ACTION_KINDS as [ActionKind, ...ActionKind[]];
const DEFAULT_PROPOSAL_MINUTES = 72 * 60;

const id = z.string().regex(/^[ahg]-[0-9a-f]{16}$/, 'an id such as a-0123456789abcdef');
const commandId = z.uuid().optional();
const words = text(500).refine((value) => value.trim().length >= 3, 'at least 3 characters');
const name = text(120);

const asked = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('erase'), subject: text(100), legalBasis: text(200) }),
  z.strictObject({
    kind: z.literal('prune'),
    retention: name,
    what: z.enum(['leaves', 'log']),
    before: z.array(z.strictObject({ partition: z.number().int().min(0).max(4_095), offset: z.number().int().min(0) })).max(1_024),
  }),
  z.strictObject({ kind: z.literal('release-hold'), hold: id }),
  z.strictObject({ kind: z.literal('rotate-signing-key'), newVkey: text(400) }),
  z.strictObject({ kind: z.literal('rotate-kek'), from: name, to: name }),
  z.strictObject({
    kind: z.literal('set-retention'),
    retention: name,
    purpose: words,
    keepDays: z.number().int().min(1).max(36_500).nullable(),
  }),
]);
const proposal = z.strictObject({
  action: asked,
  reason: words,
  expiresInMinutes: z
    .number()
    .int()
    .min(1)
    .max(14 * 24 * 60)
    .default(DEFAULT_PROPOSAL_MINUTES),
  commandId,
});
const bare = z.strictObject({ commandId });
const refusal = z.strictObject({ reason: words, commandId });
const placing = z.strictObject({
  scope: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('subject'), id: z.string().regex(PSEUDONYM, 'a pseudonym: look it up first') }),
    z.strictObject({ kind: z.literal('story'), id: name }),
    z.strictObject({ kind: z.literal('playthrough'), id: z.uuid() }),
    z.strictObject({ kind: z.literal('everything') }),
  ]),
  matter: words,
  /** ISO 8601 with an offset. */
  until: z.iso.datetime({ offset: true }).nullable().default(null),
  commandId,
});
const releasing = z.strictObject({
  reason: words,
  expiresInMinutes: z
    .number()
    .int()
    .min(1)
    .max(14 * 24 * 60)
    .default(DEFAULT_PROPOSAL_MINUTES),
  commandId,
});
const breaking = z.strictObject({ reason: words, minutes: z.number().int().min(1).max(60), commandId });
const actionsQuery = pageQuery.extend({ stage: z.enum(STAGES).optional(), kind: z.enum(KINDS).optional() });
const holdsQuery = pageQuery.extend({ active: z.enum(['true', 'false']).default('false') });

const object = (
  required: readonly string[],
  properties: Record<string, object>,
): { schema: { type: 'object'; required: string[]; properties: Record<string, object> } } => ({
  schema: { type: 'object', required: [...required], properties: { ...properties, commandId: { type: 'string', format: 'uuid' } } },
});
const string = { type: 'string', minLength: 3, maxLength: 500 };
const minutes = (maximum: number): object => ({ type: 'integer', minimum: 1, maximum });

const asking = (request: FastifyRequest, given: string | undefined): Asking => ({
  caller: requireRole(request.fabula.caller, 'dpo', 'admin', 'compliance', 'operator'),
  origin: request.fabula,
  commandId: given,
});
const idOf = (given: string): string => checked(z.strictObject({ id }), { id: given }).id;

/** Erasure, pruning, keys and retention: proposed by one person, approved by another, then carried out. */
@ApiTags('compliance')
@ApiBearerAuth()
@Controller('/admin/compliance/actions')
@Roles('dpo', 'admin', 'compliance')
export class AdminActionsController {
  constructor(private readonly node: FabulaNode) {}

  @Get()
  @ApiOperation({ summary: 'Actions, last proposed first', description: '`stage`, `kind`; pages by `first` and `after`.' })
  async list(@Query() query: unknown): Promise<object> {
    const { stage, kind, ...page } = checked(actionsQuery, query);
    const { compliance } = this.node;
    return connectionOf(
      page,
      async (request) => {
        const { value } = await compliance.reads.actions({ ...request, stage, kind });
        return { ...value, rows: await compliance.views(value.rows) };
      },
      (row) => row,
    );
  }

  @Get(':id')
  @ApiOperation({ summary: 'One action: who, why, how far; `blocked` says why an approved one has not begun, `failed` which tries failed' })
  async show(@Param('id') given: string): Promise<object> {
    const { value } = await this.node.compliance.reads.action(idOf(given));
    const [view] = value === undefined ? [] : await this.node.compliance.views([value]);
    if (view === undefined) throw new FabulaError('ACTION_NOT_FOUND');
    return view;
  }

  @Post()
  @ApiBody(object(['action', 'reason'], { action: { type: 'object' }, reason: string, expiresInMinutes: minutes(14 * 24 * 60) }))
  @ApiOperation({
    summary: 'Proposes an action, which another person must approve',
    description: 'erase and release-hold: dpo; prune and set-retention: dpo or admin; rotate-signing-key and rotate-kek: admin.',
  })
  propose(@Body() body: unknown, @Req() request: FastifyRequest): Promise<Done> {
    const { action, reason, expiresInMinutes, commandId: given } = checked(proposal, body);
    return this.node.compliance.service.propose(asking(request, given), { asked: action as Asked, reason, minutes: expiresInMinutes });
  }

  @Post(':id/approve')
  @HttpCode(200)
  @ApiBody(object([], {}))
  @ApiOperation({
    summary: 'Approves what another person proposed',
    description:
      'erase: dpo or admin; release-hold: dpo, admin or compliance; prune and set-retention: whichever of dpo and admin did not propose; keys: admin or dpo.',
  })
  approve(@Param('id') given: string, @Body() body: unknown, @Req() request: FastifyRequest): Promise<Done> {
    return this.node.compliance.service.approve(asking(request, checked(bare, body).commandId), idOf(given));
  }

  @Post(':id/refuse')
  @HttpCode(200)
  @ApiBody(object(['reason'], { reason: string }))
  @ApiOperation({ summary: 'Refuses what another person proposed; also after it was approved, until it begins' })
  refuse(@Param('id') given: string, @Body() body: unknown, @Req() request: FastifyRequest): Promise<Done> {
    const { reason, commandId: command } = checked(refusal, body);
    return this.node.compliance.service.refuse(asking(request, command), idOf(given), reason);
  }

  @Post(':id/withdraw')
  @HttpCode(200)
  @ApiBody(object([], {}))
  @ApiOperation({ summary: 'Takes back what one proposed oneself, until it begins' })
  withdraw(@Param('id') given: string, @Body() body: unknown, @Req() request: FastifyRequest): Promise<Done> {
    return this.node.compliance.service.withdraw(asking(request, checked(bare, body).commandId), idOf(given));
  }
}

/** Legal holds: nothing they name is erased or pruned. */
@ApiTags('compliance')
@ApiBearerAuth()
@Controller('/admin/compliance/holds')
@Roles('dpo', 'admin', 'compliance')
export class AdminHoldsController {
  constructor(private readonly node: FabulaNode) {}

  @Get()
  @ApiOperation({ summary: 'Holds, last placed first; `active=true`: only those that stand' })
  list(@Query() query: unknown): Promise<object> {
    const { active, ...page } = checked(holdsQuery, query);
    return connectionOf(
      page,
      async (request) => (await this.node.compliance.reads.holds({ ...request, active: active === 'true' })).value,
      holdView,
    );
  }

  @Post()
  @Roles('dpo')
  @ApiBody(
    object(['scope', 'matter'], {
      scope: { type: 'object' },
      matter: string,
      until: { type: 'string', format: 'date-time', nullable: true },
    }),
  )
  @ApiOperation({
    summary: 'Places a hold on a subject, a story, a playthrough or everything; one person is enough',
    description: '`underWay`: actions that had begun before, and that the hold may come too late for.',
  })
  place(@Body() body: unknown, @Req() request: FastifyRequest): Promise<object> {
    const { scope, matter, until, commandId: given } = checked(placing, body);
    const held: HoldScope = scope.kind === 'everything' ? { kind: 'everything', id: '*' } : scope;
    return this.node.compliance.service.placeHold(asking(request, given), {
      scope: held,
      matter,
      until: until === null ? null : Date.parse(until),
    });
  }

  @Post(':id/release')
  @Roles('dpo')
  @ApiBody(object(['reason'], { reason: string, expiresInMinutes: minutes(14 * 24 * 60) }))
  @ApiOperation({ summary: 'Proposes to release a hold: an action that another person approves, and that takes effect with the approval' })
  release(@Param('id') given: string, @Body() body: unknown, @Req() request: FastifyRequest): Promise<Done> {
    const { reason, expiresInMinutes, commandId: command } = checked(releasing, body);
    return this.node.compliance.service.propose(asking(request, command), {
      asked: { kind: 'release-hold', hold: idOf(given) },
      reason,
      minutes: expiresInMinutes,
    });
  }
}

/** Reading what one's role does not let one read, for at most an hour, seen by everybody. */
@ApiTags('compliance')
@ApiBearerAuth()
@Controller('/admin/compliance/break-glass')
@Roles('operator', 'admin', 'dpo', 'compliance')
export class AdminBreakGlassController {
  constructor(private readonly node: FabulaNode) {}

  @Get()
  @ApiOperation({ summary: 'What is open now, and for whom' })
  async list(): Promise<object> {
    return { open: await this.node.compliance.breakGlass.all(Date.now()) };
  }

  @Post()
  @Roles('operator', 'admin')
  @ApiBody(object(['reason', 'minutes'], { reason: string, minutes: minutes(60) }))
  @ApiOperation({ summary: 'Lets its caller read bodies for at most 60 minutes; recorded, and an alarm' })
  open(@Body() body: unknown, @Req() request: FastifyRequest): Promise<object> {
    const { reason, minutes: length, commandId: given } = checked(breaking, body);
    return this.node.compliance.service.breakTheGlass(asking(request, given), { reason, minutes: length });
  }

  @Post(':id/close')
  @HttpCode(200)
  @ApiBody(object([], {}))
  @ApiOperation({ summary: 'Ends it early: its own caller, or dpo, compliance, admin' })
  close(@Param('id') given: string, @Body() body: unknown, @Req() request: FastifyRequest): Promise<Done> {
    return this.node.compliance.service.closeGlass(asking(request, checked(bare, body).commandId), idOf(given));
  }
}

@ApiTags('compliance')
@ApiBearerAuth()
@Controller('/admin/compliance/events')
@Roles('dpo', 'admin', 'compliance')
export class AdminComplianceEventsController {
  constructor(private readonly node: FabulaNode) {}

  @Get()
  @ApiOperation({ summary: 'All that was ever decided, oldest first, with offset and correlation id to find it in the audit log' })
  list(@Query() query: unknown): Promise<object> {
    return connectionOf(
      checked(pageQuery, query),
      async (request) => (await this.node.compliance.reads.events(request)).value,
      (row) => ({ ...row, partition: this.node.partitionOf(COMPLIANCE_STREAM), event: JSON.parse(row.event) as ComplianceEvent }),
    );
  }
}

export const complianceControllers = [
  AdminActionsController,
  AdminHoldsController,
  AdminBreakGlassController,
  AdminComplianceEventsController,
];

function holdView({ scopeKind, scopeId, ...row }: ComplianceHoldRow): object {
  return { ...row, scope: { kind: scopeKind, id: scopeId } };
}
