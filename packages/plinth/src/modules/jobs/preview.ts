import type { Queryable } from '#kernel/database.ts';
import { nextTick } from './cron.ts';

export interface PreviewedTick {
  at: Date;
  /** `2026-03-29 03:00 GMT+2`: what the clock on the wall shows. */
  local: string;
}

/** The first `count` ticks after `after`, by default from now by the clock of the database; fewer where there are no more. Errors: jobs_schedule_invalid. */
export async function previewTicks(tx: Queryable, cron: string, timeZone: string, count: number, after?: Date): Promise<PreviewedTick[]> {
  const [clock] = after ? [{ now: after }] : await tx.query<{ now: Date }>('select clock_timestamp() as now');
  const ticks: PreviewedTick[] = [];
  for (let at = clock && nextTick(cron, timeZone, clock.now); at && ticks.length < count; at = nextTick(cron, timeZone, at)) {
    ticks.push({ at, local: wallClock(at, timeZone) });
  }
  return ticks;
}

function wallClock(at: Date, timeZone: string): string {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'shortOffset',
  });
  const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute} ${part.timeZoneName}`;
}
