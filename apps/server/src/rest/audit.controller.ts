import fs from 'node:fs';
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import {
  ExportRefused,
  formatSearchKey,
  KeptElsewhere,
  parseLogName,
  parseSearchKey,
  playthroughStream,
  LeavesPruned,
  ProofRefused,
  TooManyExports,
  TreeBehind,
  type ExportFilter,
  type ExportJob,
  type KeptNote,
  type LogName,
  type TermType,
} from '#lib/audit';
import { FabulaError } from '#lib/platform';
import type { AuditRebuild, Verification } from '../audit/audit-maintenance.js';
import { handedOver } from '../audit/audit-service.js';
import { requireRole } from '../http/auth.js';
import { byteRange } from '../http/byte-range.js';
import { checked, text, time } from '../http/input.js';
import { Recorded, Roles, Separated } from '../http/roles.js';
import { FabulaNode } from '../node.js';
import { prunedError } from '../retention/pruned-error.js';
import { linesWithin } from './entry-lines.js';

const MAX_ENTRIES = 1_000n;
/** Written without leading zeros, so that one number has one spelling; at most 2^63. */
const count = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,18})$/, 'a whole number')
  .transform(BigInt);
const searchQuery = z
  .strictObject({
    correlationId: text(100).optional(),
    playthroughId: text(100).optional(),
    actor: text(100).optional(),
    from: time.optional(),
    to: time.optional(),
    first: z.coerce.number().int().min(1).max(1_000).default(100),
    after: text(200).optional(),
  })
  .refine(
    ({ correlationId, playthroughId, actor, from, to }) =>
      [correlationId, playthroughId, actor, from, to].some((given) => given !== undefined),
    'one of correlationId, playthroughId, actor, from, to is needed',
  );
const range = z.strictObject({ log: text(20), from: count.default(0n), to: count.optional(), since: count.optional() });
const filter = z
  .strictObject({
    playthroughId: text(100).optional(),
    actor: text(200).optional(),
    storyId: text(200).optional(),
    correlationId: text(200).optional(),
    from: time.optional(),
    to: time.optional(),
  })
  .refine(
    ({ from, to, ...ids }) =>
      Object.values(ids).filter((given) => given !== undefined).length + Number(from !== undefined || to !== undefined) === 1,
    'exactly one of playthroughId, actor, storyId, correlationId, or a time (from, to) is needed',
  );
const exportBody = z.strictObject({
  ranges: z.array(range).min(1).max(1_000).optional(),
  filter: filter.optional(),
  bodies: z.literal(true).optional(),
  since: z.string().uuid().optional(),
});

/** What compliance reads: trees, notes, proofs, search and exports. */
@ApiTags('audit')
@ApiBearerAuth()
@Controller('/audit')
@Roles('compliance')
export class AuditController {
  constructor(private readonly node: FabulaNode) {}

  @Get('logs')
  @ApiOperation({ summary: 'Every tree with its size, its newest signed size and the key that verifies its notes' })
  async logs(): Promise<object> {
    const { audit, logId } = this.node;
    const heads = (await audit.store.heads()).filter((head) => head.logId === logId);
    const logs = await Promise.all(
      heads.map(async ({ log, size }) => {
        const note = await audit.store.latestNote(log, logId);
        return {
          log,
          origin: audit.notary.origin(log),
          size: String(size),
          signedSize: String(note?.size ?? 0n),
          signedAt: isoOrNull(note?.signedAt),
          publishedAt: isoOrNull(note?.publishedAt),
        };
      }),
    );
    const [verifierKey, trust] = await Promise.all([audit.keys.verifierKey(), audit.keys.trust()]);
    return { logId, verifierKey, trust, logs, auditors: audit.status().map(plain), notary: audit.notes().map(plain) };
  }

  @Get('logs/:log/checkpoint')
  @ApiOperation({ summary: 'The newest signed checkpoint note (C2SP tlog-checkpoint) with the cosignatures it has so far, as text' })
  async checkpoint(@Param('log') name: string, @Res({ passthrough: true }) reply: FastifyReply): Promise<string> {
    void reply.type('text/plain; charset=utf-8').header('cache-control', 'private, no-cache');
    return this.node.audit.witnessing.cosigned(await this.note(logOf(name)));
  }

  @Get('logs/:log/entries')
  @ApiOperation({
    summary:
      'Exact leaf bytes, one a line; at most 1,000, and about 8 MiB, from `from` up to, not including, `to`: ask on from where it ends',
  })
  async entries(@Param('log') name: string, @Query() query: unknown, @Res() reply: FastifyReply): Promise<void> {
    const { from, to } = checked(z.strictObject({ from: count.default(0n), to: count.optional() }), query);
    const log = logOf(name);
    const head = (await this.node.audit.store.heads()).find((one) => one.log === log && one.logId === this.node.logId);
    const end = min(to ?? from + MAX_ENTRIES, from + MAX_ENTRIES, head?.size ?? 0n);
    const lines = from < end ? await linesWithin(this.node.audit.store.leaves(log, from, end)) : [];
    void reply.type('application/x-ndjson').send(Buffer.concat(lines));
  }

  @Get('logs/:log/proof/inclusion')
  @ApiOperation({ summary: 'That leaf `index` is in the tree of `size` (default: the newest signed one), RFC 6962 §2.1.1' })
  async inclusion(@Param('log') name: string, @Query() query: unknown): Promise<object> {
    const { index, size } = checked(z.strictObject({ index: count, size: count.optional() }), query);
    const log = logOf(name);
    const proof = await refusable(async () => this.node.audit.proofs.inclusion(log, index, size ?? (await this.note(log)).size));
    return { log, index: String(index), size: String(proof.size), leaf: proof.leaf.toString('utf8'), hashes: proof.hashes.map(base64) };
  }

  @Get('logs/:log/proof/consistency')
  @ApiOperation({ summary: 'That the tree of `to` extends the tree of `from`, RFC 6962 §2.1.2' })
  async consistency(@Param('log') name: string, @Query() query: unknown): Promise<object> {
    const { from, to } = checked(z.strictObject({ from: count, to: count.optional() }), query);
    const log = logOf(name);
    const proof = await refusable(async () => this.node.audit.proofs.consistency(log, from, to ?? (await this.note(log)).size));
    return { log, from: String(from), to: String(proof.to), hashes: proof.hashes.map(base64) };
  }

  @Get('search')
  @ApiOperation({ summary: 'Leaves by correlation id, playthrough, actor pseudonym or time, oldest first' })
  async search(@Query() query: unknown): Promise<object> {
    const { first, after, ...wanted } = checked(searchQuery, query);
    const key = after === undefined ? undefined : parseSearchKey(after);
    if (after !== undefined && key === undefined)
      throw new FabulaError('BAD_INPUT', 'after is not a cursor of this list', { details: { field: 'after' } });
    const { hits, next } = await this.node.audit.store.search({ ...wanted, limit: first, ...(key === undefined ? {} : { after: key }) });
    return {
      hits: hits.map(({ log, index, offset, time: at, bytes }) => ({
        log,
        index: String(index),
        offset,
        at: new Date(at).toISOString(),
        leaf: JSON.parse(bytes.toString('utf8')) as object,
      })),
      next: next === undefined ? null : formatSearchKey(next),
    };
  }

  @Post('exports')
  @Separated('admin')
  @Recorded('sensitive_export')
  @HttpCode(202)
  @ApiOperation({ summary: 'Orders an export of ranges, of everything, or of what a filter names; poll its progress, then download' })
  async order(@Body() body: unknown, @Req() request: FastifyRequest): Promise<object> {
    const { ranges, filter: wish, bodies, since } = checked(exportBody, body);
    const caller = requireRole(request.fabula.caller, 'compliance');
    const wanted = ranges?.map(({ log, ...rest }) => ({ ...rest, log: logOf(log) })) ?? 'everything';
    const job = await refusable(() =>
      this.node.audit.requestExport(wanted, caller.actor, {
        ...(wish === undefined ? {} : { filter: filterOf(wish) }),
        ...(bodies === undefined ? {} : { bodies }),
        ...(since === undefined ? {} : { since }),
      }),
    );
    request.fabula.access.target = { exportId: job.id, ...(bodies === undefined ? {} : { bodies: 'shown' }) };
    return jobView(job);
  }

  @Post('store/verification')
  @HttpCode(202)
  @ApiOperation({ summary: 'Looks for tampering in the whole audit store, in the background: trees, notes, notes kept outside, log' })
  async verify(): Promise<object> {
    return workView(await this.node.audit.maintenance.startVerification());
  }

  @Get('store/verification')
  @ApiOperation({ summary: 'How far the last verification ordered at this process is, and what it found' })
  verification(): object {
    return workView(this.node.audit.maintenance.verification());
  }

  @Post('store/rebuild')
  @Roles('operator')
  @HttpCode(202)
  @ApiOperation({ summary: 'Forgets the trees and builds them again from the log; signed notes stay and bind the new trees' })
  async rebuild(): Promise<object> {
    return workView(await this.node.audit.maintenance.startRebuild());
  }

  @Get('store/rebuild')
  @Roles('operator')
  @ApiOperation({ summary: 'How far the last rebuild ordered at this process is' })
  rebuilding(): object {
    return workView(this.node.audit.maintenance.rebuild());
  }

  @Get('exports/:id')
  @ApiOperation({ summary: 'How far an export is' })
  async progress(@Param('id') id: string): Promise<object> {
    return jobView(await this.job(id));
  }

  @Delete('exports/:id')
  @Recorded('sensitive_delete')
  @ApiOperation({ summary: 'Drops an export that waits, stops one that is being written, removes the file of a finished one' })
  async removeExport(@Param('id') id: string, @Req() request: FastifyRequest): Promise<object> {
    const { file } = await this.job(id);
    request.fabula.access.target = file === null ? { exportId: id } : handedOver(id, file);
    const removed = await refusable(() => this.node.audit.exporter.remove(id));
    if (removed === undefined) throw new FabulaError('EXPORT_NOT_FOUND');
    return jobView(removed);
  }

  @Get('exports/:id/download')
  @Separated('admin')
  @Recorded('sensitive_export')
  @ApiOperation({ summary: 'The finished bundle, from `Range: bytes=<n>-` on; `fabula audit verify` checks it offline' })
  async download(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const job = await this.job(id);
    const file = await this.node.audit.exporter.file(id);
    if (job.file === null) throw new FabulaError('EXPORT_NOT_READY', `the export is ${job.state}`, { details: { state: job.state } });
    if (file === undefined) {
      const { address } = job.keptBy;
      const gone = this.node.audit.exporter.keeps(job);
      const where = gone
        ? 'the file of the export was removed here; order a new one'
        : `the export was written at ${address}: download it there`;
      throw new FabulaError('EXPORT_NOT_FOUND', where, { details: gone ? {} : { address } });
    }
    request.fabula.access.target = handedOver(id, job.file);
    const etag = `"${job.file.sha256}"`;
    const { range: wanted, 'if-range': ifRange } = request.headers;
    const range = byteRange(wanted, typeof ifRange === 'string' ? ifRange : undefined, etag, job.file.bytes);
    void reply.header('accept-ranges', 'bytes').header('etag', etag);
    if (range.kind === 'beyond') return void reply.code(416).header('content-range', `bytes */${job.file.bytes}`).send();
    const from = range.kind === 'from' ? range.from : 0;
    if (range.kind === 'from') void reply.code(206).header('content-range', `bytes ${from}-${job.file.bytes - 1}/${job.file.bytes}`);
    void reply
      .type('application/x-tar')
      .header('content-length', job.file.bytes - from)
      .header('content-disposition', `attachment; filename="${job.file.name}"`)
      .send(fs.createReadStream(file, { start: from }));
  }

  private async job(id: string): Promise<ExportJob> {
    const job = UUID.test(id) ? await this.node.audit.exporter.job(id) : undefined;
    if (job === undefined) throw new FabulaError('EXPORT_NOT_FOUND');
    return job;
  }
  private async note(log: LogName): Promise<KeptNote> {
    const note = await this.node.audit.store.latestNote(log, this.node.logId);
    if (note === undefined) throw new FabulaError('NOT_FOUND', `nothing of ${log} is signed yet`);
    return note;
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const base64 = (hash: Buffer): string => hash.toString('base64');
const isoOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString());
const min = (...values: readonly bigint[]): bigint => values.reduce((least, value) => (value < least ? value : least));

function filterOf({ playthroughId, actor, storyId, correlationId, from, to }: z.output<typeof filter>): ExportFilter {
  const term = (type: TermType, value: string): ExportFilter => ({ kind: 'term', term: { type, value } });
  if (playthroughId !== undefined) return term('stream', playthroughStream(playthroughId));
  if (actor !== undefined) return term('actor', actor);
  if (storyId !== undefined) return term('story', storyId);
  if (correlationId !== undefined) return term('correlation', correlationId);
  return { kind: 'time', ...(from === undefined ? {} : { from: String(from) }), ...(to === undefined ? {} : { to: String(to) }) };
}

/** Sizes as text: JSON has no 64-bit integers. */
function plain(status: object): object {
  return Object.fromEntries(
    Object.entries(status).map(([key, value]) => [key, typeof value === 'bigint' ? String(value) : (value as unknown)]),
  );
}

function logOf(name: string): LogName {
  const log = parseLogName(name);
  if (log === undefined) throw new FabulaError('NOT_FOUND', 'logs are named p0, p1, …, root and access');
  return log;
}

function jobView({ ranges, requestedAt, finishedAt, removedAt, keptBy, ...job }: ExportJob): object {
  return {
    ...job,
    keptAt: keptBy.address,
    ranges: ranges.map(plain),
    requestedAt: new Date(requestedAt).toISOString(),
    finishedAt: isoOrNull(finishedAt ?? undefined),
    removedAt: isoOrNull(removedAt),
  };
}

const workView = ({ startedAt, finishedAt, ...work }: Verification | AuditRebuild): object => ({
  ...work,
  startedAt: isoOrNull(startedAt ?? undefined),
  finishedAt: isoOrNull(finishedAt ?? undefined),
});

async function refusable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ProofRefused || error instanceof ExportRefused) throw new FabulaError('BAD_INPUT', error.message);
    if (error instanceof KeptElsewhere) throw new FabulaError('CONFLICT', error.message, { details: { address: error.keptBy.address } });
    if (error instanceof LeavesPruned) throw prunedError(error);
    if (error instanceof TreeBehind) throw new FabulaError('OVERLOADED', error.message, { retryAfterMs: 2_000 });
    if (error instanceof TooManyExports) throw new FabulaError('OVERLOADED', error.message, { retryAfterMs: 10_000 });
    throw error;
  }
}
