import type { LoggerService } from '@nestjs/common';
import type { Logger } from '#lib/platform';

/** Nest's own words into our log: its chatter at debug, its warnings and errors as they are. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown): void {
    this.logger.debug({ from: 'nest' }, String(message));
  }
  debug(message: unknown): void {
    this.logger.debug({ from: 'nest' }, String(message));
  }
  verbose(message: unknown): void {
    this.logger.debug({ from: 'nest' }, String(message));
  }
  warn(message: unknown): void {
    this.logger.warn({ from: 'nest' }, String(message));
  }
  error(message: unknown, stack?: unknown): void {
    this.logger.error({ from: 'nest', stack }, String(message));
  }
  fatal(message: unknown): void {
    this.logger.fatal({ from: 'nest' }, String(message));
  }
}
