import { Body, Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiConsumes, ApiOperation, ApiQuery, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Actor } from '#lib/decision';
import { FabulaError } from '#lib/platform';
import { graphOf, lintStory } from '#lib/story';
import { requireRole, type Origin } from '../http/auth.js';
import { checked, hash, pageQuery, text } from '../http/input.js';
import { Roles } from '../http/roles.js';
import { FabulaNode } from '../node.js';
import { connectionOf } from '../play/history.js';

const FORMATS = ['json', 'yaml', 'twee'] as const;
const MEDIA: Readonly<Record<(typeof FORMATS)[number], string>> = {
  json: 'application/json',
  yaml: 'application/yaml',
  twee: 'text/plain',
};
const importQuery = z.strictObject({ format: z.enum(FORMATS), id: text(120).optional() });
const exportQuery = z.strictObject({ format: z.enum(FORMATS).optional() });

@ApiTags('stories')
@ApiBearerAuth()
@Controller('/admin/stories')
@Roles('author')
export class AdminStoriesController {
  constructor(private readonly node: FabulaNode) {}

  @Post()
  @ApiOperation({
    summary: 'Imports a story as a draft version',
    description: 'The body is the source itself. The same content again answers 200 and the same hash.',
  })
  @ApiQuery({ name: 'format', enum: FORMATS })
  @ApiQuery({ name: 'id', required: false, description: 'Overrides the id in the source' })
  @ApiConsumes('application/json', 'application/yaml', 'text/plain')
  @ApiBody({ schema: { type: 'string' } })
  @ApiResponse({ status: 201, description: '{storyId, versionHash, lint, notImported, warnings, translated}' })
  @ApiResponse({ status: 422, description: 'Nothing could be read; every problem with line and column' })
  async import(
    @Query() query: unknown,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<object> {
    const { format, id } = checked(importQuery, query);
    if (typeof body !== 'string' || body.length === 0) throw new FabulaError('BAD_INPUT', 'the body is the source of the story');
    const { created, storyId, versionHash, lint, result } = await this.node.stories.import(body, format, id, ...this.author(request));
    void reply.status(created ? 201 : 200);
    const { notImported, warnings, translated } = result;
    return { storyId, versionHash, lint, notImported, warnings, translated };
  }

  @Get()
  @ApiOperation({ summary: 'All stories, drafts among them, by id' })
  async list(@Query() query: unknown): Promise<object> {
    return connectionOf(
      checked(pageQuery, query),
      async (page) => (await this.node.reads.stories({ ...page, drafts: true })).value,
      (row) => row,
    );
  }

  @Get(':id')
  @ApiOperation({ summary: 'A story with its versions, newest first' })
  async one(@Param('id') id: string): Promise<object> {
    const { value } = await this.node.reads.story(checked(text(120), id));
    if (value === undefined) throw new FabulaError('STORY_NOT_FOUND');
    return value;
  }

  @Get(':id/versions/:hash')
  @ApiOperation({ summary: 'A version; with `format` its source in that format' })
  @ApiQuery({ name: 'format', enum: FORMATS, required: false })
  async version(@Param() params: unknown, @Query() query: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<unknown> {
    const { id, hash: versionHash } = checked(versionParams, params);
    const { format } = checked(exportQuery, query);
    const version = await this.node.stories.version(id, versionHash);
    if (format === undefined) return version;
    const source = await this.node.stories.exported(versionHash, format);
    void reply.type(`${MEDIA[format]}; charset=utf-8`);
    return source;
  }

  @Post(':id/versions/:hash/publish')
  @HttpCode(200)
  @ApiOperation({ summary: 'Makes the version what new playthroughs start on; needs zero lint errors' })
  async publish(@Param() params: unknown, @Req() request: FastifyRequest): Promise<object> {
    const { id, hash: versionHash } = checked(versionParams, params);
    const version = await this.node.stories.version(id, versionHash);
    if (version.lintErrors > 0) {
      const problems = lintStory((await this.node.contents.story(versionHash)) ?? noContent()).filter(
        ({ severity }) => severity === 'error',
      );
      throw new FabulaError('LINT_ERRORS', `this version has ${version.lintErrors} lint errors; publishing needs none`, {
        details: { problems },
      });
    }
    return this.node.stories.publish(id, versionHash, ...this.author(request));
  }

  @Post(':id/versions/:hash/retire')
  @HttpCode(200)
  @ApiOperation({ summary: 'No new playthroughs start on the version; those under way go on' })
  async retire(@Param() params: unknown, @Req() request: FastifyRequest): Promise<object> {
    const { id, hash: versionHash } = checked(versionParams, params);
    await this.node.stories.version(id, versionHash);
    return this.node.stories.retire(id, versionHash, ...this.author(request));
  }

  @Get(':id/versions/:hash/lint')
  @ApiOperation({ summary: 'What lint finds; each code has a page under docs/reference/lint' })
  async lint(@Param() params: unknown): Promise<object> {
    return { problems: lintStory(await this.story(params)) };
  }

  @Get(':id/versions/:hash/graph')
  @ApiOperation({ summary: 'Passages and endings as nodes, choices as edges' })
  async graph(@Param() params: unknown): Promise<object> {
    return graphOf(await this.story(params));
  }

  @Get(':id/versions/:hash/stats')
  @ApiOperation({
    summary: 'Offered, visible, enabled, picked per choice; entered, left, drop-off per passage; endings. What-ifs and previews excluded',
  })
  async stats(@Param() params: unknown): Promise<object> {
    const { id, hash: versionHash } = checked(versionParams, params);
    await this.node.stories.version(id, versionHash);
    const { value, asOf } = await this.node.reads.versionStats(id, versionHash);
    return { ...value, asOf };
  }

  private async story(params: unknown): Promise<Parameters<typeof lintStory>[0]> {
    const { id, hash: versionHash } = checked(versionParams, params);
    await this.node.stories.version(id, versionHash);
    return (await this.node.contents.story(versionHash)) ?? noContent();
  }

  private author(request: FastifyRequest): [Actor, Origin] {
    return [{ id: requireRole(request.fabula.caller, 'author').actor, role: 'author' }, request.fabula];
  }
}

const versionParams = z.strictObject({ id: text(120), hash });

function noContent(): never {
  throw new FabulaError('INTERNAL', 'the content of this version is missing');
}
