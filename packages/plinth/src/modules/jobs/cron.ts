import { Cron } from 'croner';
import { raiser } from '#kernel/errors.ts';
import { errors } from './errors.ts';

const fail = raiser('jobs', errors);

/**
 * The first tick after `after`: cron text of five fields (or `@daily` and the like) in an IANA time zone. Undefined when there is none.
 *
 * Daylight saving: a time of day that the spring change leaves out runs once, when the gap ends (02:30 runs at 03:00); one that the
 * autumn change brings twice runs once, the first time. Patterns that repeat every hour run in every hour that there is.
 * Errors: jobs_schedule_invalid.
 */
export function nextTick(cron: string, timeZone: string, after: Date): Date | undefined {
  try {
    return new Cron(cron, { timezone: timeZone, mode: '5-part', paused: true }).nextRun(after) ?? undefined;
  } catch (error) {
    throw fail('schedule_invalid', {
      message: `Not cron text of five fields in a known time zone: ${JSON.stringify(cron)} in ${JSON.stringify(timeZone)}: ${(error as Error).message}`,
      cause: error,
    });
  }
}
