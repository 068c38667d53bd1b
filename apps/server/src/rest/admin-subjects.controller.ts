import { Readable } from 'node:stream';
import { Body, Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { BadSubject, MAX_SUBJECT_LENGTH, PSEUDONYM } from '#lib/privacy';
import { FabulaError } from '#lib/platform';
import { beforeItsEffect } from '../http/database-outage.js';
import { checked } from '../http/input.js';
import { Recorded, Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';
import { packagePage } from '../privacy/package-page.js';
import { packageJson, readerPackage } from '../privacy/reader-package.js';

const lookup = z.strictObject({
  issuer: z.string().min(1).max(MAX_SUBJECT_LENGTH).optional(),
  sub: z.string().min(1).max(MAX_SUBJECT_LENGTH),
});
const packageQuery = z.strictObject({ format: z.enum(['json', 'html']).default('json') });

/** Readers as a data protection officer meets them: by name when they ask, by pseudonym from there on. */
@ApiTags('compliance')
@ApiBearerAuth()
@Controller('/admin/compliance/subjects')
@Roles('dpo')
export class AdminSubjectsController {
  constructor(private readonly node: FabulaNode) {}

  @Post('lookup')
  @HttpCode(200)
  @Recorded('sensitive_read')
  @ApiOperation({
    summary: 'The pseudonym of a person, by the subject (and issuer) of its tokens',
    description:
      '`pseudonym` is null for somebody who never came, or was forgotten. The name goes in the body, so that no address and no log holds it.',
  })
  @ApiBody({
    schema: {
      type: 'object',
      required: ['sub'],
      properties: { issuer: { type: 'string' }, sub: { type: 'string', maxLength: MAX_SUBJECT_LENGTH } },
    },
  })
  async lookup(@Body() body: unknown, @Req() request: FastifyRequest): Promise<object> {
    const { issuer, sub } = checked(lookup, body);
    try {
      const pseudonym = await beforeItsEffect(this.node.privacy.lookup(sub, issuer));
      if (pseudonym !== null) request.fabula.access.target = { subject: pseudonym };
      return { pseudonym };
    } catch (error) {
      if (error instanceof BadSubject) throw new FabulaError('BAD_INPUT', error.message, { details: { field: 'sub' } });
      throw error;
    }
  }

  @Get(':pseudonym/package')
  @Recorded('sensitive_decrypt')
  @ApiOperation({
    summary: 'Everything held about one reader (GDPR Art. 15), with the names of their checkpoints',
    description:
      '`format`: `json` (default) or `html` to read and print. Written while it is read, nothing of it is kept here; an answer that was cut off is no package.',
  })
  package(
    @Param('pseudonym') pseudonym: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Readable {
    const { format } = checked(packageQuery, query);
    if (!PSEUDONYM.test(pseudonym)) throw new FabulaError('NOT_FOUND', 'a pseudonym is "r-" and 26 letters or digits 2 to 7');
    request.fabula.access.target = { subject: pseudonym };
    const parts = readerPackage(this.node, pseudonym);
    void reply
      .type(format === 'json' ? 'application/json; charset=utf-8' : 'text/html; charset=utf-8')
      .header('cache-control', 'no-store')
      .header('content-disposition', `attachment; filename="${pseudonym}.${format}"`);
    return Readable.from(format === 'json' ? packageJson(parts) : packagePage(parts));
  }
}

/** The keys that readers' keys are wrapped under. */
@ApiTags('compliance')
@ApiBearerAuth()
@Controller('/admin/compliance/keks')
@Roles('admin', 'dpo')
export class AdminKeksController {
  constructor(private readonly node: FabulaNode) {}

  @Get()
  @ApiOperation({
    summary: 'Key-encryption keys: which is current, how many keys lie under each, and whether this process has it',
    description:
      'While a rotation (action `rotate-kek`) goes on, the keys under the retiring one become fewer. The keys themselves are never shown.',
  })
  async list(): Promise<object> {
    const keks = await beforeItsEffect(this.node.privacy.rotation.status());
    const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
    return { keks: keks.map((kek) => ({ ...kek, createdAt: time(kek.createdAt), destroyedAt: time(kek.destroyedAt) })) };
  }
}

export const subjectControllers = [AdminSubjectsController, AdminKeksController];
