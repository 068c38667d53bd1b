import { beforeItsEffect, isDatabaseOutage } from './database-outage.js';
import { asFabulaError } from './problem.js';

const error = (message: string, more: object = {}): Error => Object.assign(new Error(message), more);

describe('A command that met a database that is away', () => {
  it.each([
    ['while nobody listens', error('connect ECONNREFUSED 127.0.0.1:5432', { code: 'ECONNREFUSED', syscall: 'connect' })],
    ['on each address of its name', new AggregateError([error('connect ECONNREFUSED', { code: 'ECONNREFUSED' })])],
    ['while it starts up', error('the database system is starting up', { code: '57P03', severity: 'FATAL' })],
    ['as it was shut down', error('terminating connection', { code: '57P01', severity: 'FATAL' })],
    ['with too many connections', error('sorry, too many clients already', { code: '53300', severity: 'FATAL' })],
    ['that fell silent', error('Connection terminated unexpectedly')],
    ['that has no free connection', error('timeout exceeded when trying to connect')],
  ])('%s is not answered INTERNAL: it may have had its effect, and may be sent again', (_when, thrown) => {
    expect(asFabulaError(thrown)).toMatchObject({ code: 'OUTCOME_UNKNOWN', retryable: true, status: 503 });
  });

  it.each([
    ['a fault of ours', new TypeError('x is not a function')],
    ['a statement that is wrong', error('syntax error at or near "selec"', { code: '42601', severity: 'ERROR' })],
    ['a file that is not there', error('ENOENT: no such file', { code: 'ENOENT' })],
  ])('is not made of %s', (_what, thrown) => {
    expect(isDatabaseOutage(thrown)).toBe(false);
    expect(asFabulaError(thrown).code).toBe('INTERNAL');
  });

  it('before it was recorded is told that it had no effect; other faults stay what they are', async () => {
    const away = error('connect ECONNREFUSED 127.0.0.1:5432', { code: 'ECONNREFUSED' });
    await expect(beforeItsEffect(Promise.reject(away))).rejects.toMatchObject({ code: 'OVERLOADED', retryable: true, cause: away });
    const ours = new TypeError('x is not a function');
    await expect(beforeItsEffect(Promise.reject(ours))).rejects.toBe(ours);
    await expect(beforeItsEffect(Promise.resolve(1))).resolves.toBe(1);
  });
});
