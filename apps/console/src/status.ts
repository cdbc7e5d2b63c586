/** Words that modules use for the state of a thing, and how each is drawn. A word that is not known is drawn as it is, neutral. */
export type Tone = 'ok' | 'bad' | 'warn' | 'run' | 'wait' | 'plain';

const tones: Record<Tone, readonly string[]> = {
  ok: [
    'completed',
    'complete',
    'succeeded',
    'success',
    'delivered',
    'verified',
    'done',
    'ok',
    'active',
    'enabled',
    'healthy',
    'sent',
    'processed',
    'published',
    'committed',
  ],
  bad: [
    'failed',
    'failure',
    'error',
    'dead',
    'dead_letter',
    'exhausted',
    'rejected',
    'critical',
    'refused',
    'undeliverable',
    'bounced',
    'unhealthy',
    'timed_out',
  ],
  warn: ['warning', 'disabled', 'auto_disabled', 'paused', 'degraded', 'expired', 'retrying', 'retryable', 'held'],
  run: ['processing', 'running', 'delivering', 'in_progress', 'sending', 'claimed', 'leased'],
  wait: ['pending', 'scheduled', 'queued', 'waiting', 'available', 'open', 'planned'],
  plain: [],
};
const byWord = new Map(Object.entries(tones).flatMap(([tone, list]) => list.map((word) => [word, tone as Tone] as const)));

export const toneOf = (status: string): Tone => byWord.get(status.toLowerCase()) ?? 'plain';

/** True while the state will still change by itself. */
export const isUnfinished = (status: string | null): boolean => status !== null && (['run', 'wait'].includes(toneOf(status)) || status.startsWith('retry'));

/** Columns that hold such a word. */
export const isStatusColumn = (name: string): boolean => /(^|_)(status|state|severity|outcome)$/.test(name);
