import { toPlinthError } from '#kernel/errors.ts';
import type { WorkerRuntime } from '#kernel/work.ts';
import type { ClaimedDelivery, Settlement } from './attempt.ts';
import { fail } from './errors.ts';

export interface ResultOptions {
  /** From the claim on; what is not written by then is sent again by somebody. */
  leaseMs: number;
  /** Longest wait before a database that could not be reached, or a result that had to wait, is asked again. */
  pollMs: number;
  /** Of the transactions that write. */
  limits: { timeoutMs: number; idleMs: number };
  /** Attempts under way in this process. */
  underWay: () => number;
  /** No more is sent. */
  stopping: AbortSignal;
  /** Attempts are called back: what cannot be written soon is left to the end of its lease. */
  hurry: AbortSignal;
  /** A tenant is to be told that a subscription fails. */
  onToTell: () => void;
}

const SETTLE_AT_ONCE = 200;
/** How long results wait for more of them where so many attempts are under way: a statement costs a millisecond before its first row. */
const SETTLE_GATHER_MS = 5;
const SETTLE_GATHER_FROM = 16;
const BUSY_MS = 20;
const TRIES_IN_A_HURRY = 8;
const LONGEST_LOGGED = 65_536;

const SETTLE = 'select * from plinth_webhooks.settle($1)';
const SETTLE_REFUSED = 'select plinth_webhooks.settle_refused($1) as ended';
const LOG_ATTEMPT = 'select plinth_webhooks.log_attempt($1)';

interface Settled {
  delivery_id: string | null;
  status: string | null;
  to_tell: boolean | null;
}

/** An attempt that has ended. */
interface Ended {
  delivery: ClaimedDelivery;
  settlement: Settlement;
  startedAt: number;
  /** How often it was not its turn. */
  tries: number;
  written: () => void;
}

/** An attempt for the log where settle does not write it: the delivery as it was claimed, and how the attempt ended. */
const loggedRow = ({ delivery }: Ended, settlement: Settlement): string =>
  JSON.stringify({
    event_id: delivery.event_id,
    event_type: delivery.event_type,
    attempt: delivery.attempt,
    correlation_id: delivery.correlation_id,
    format: delivery.format,
    body: (delivery.stored ?? delivery.body).slice(0, LONGEST_LOGGED).toWellFormed(),
    ...settlement,
  });

/** Writes down how attempts ended, many at once. One that somebody's transaction keeps waiting comes again later, and keeps no other waiting. */
export class Results {
  readonly #runtime: WorkerRuntime;
  readonly #options: ResultOptions;
  #waiting: Ended[] = [];
  #flushing = false;

  constructor(runtime: WorkerRuntime, options: ResultOptions) {
    this.#runtime = runtime;
    this.#options = options;
  }

  /** Resolves when the result is in the database, or was given up: the place of the attempt is free only then. */
  write(delivery: ClaimedDelivery, settlement: Settlement, startedAt: number): Promise<void> {
    return new Promise((written) => this.#add({ delivery, settlement, startedAt, tries: 0, written }));
  }

  #add(...ended: Ended[]): void {
    this.#waiting.push(...ended);
    if (!this.#flushing) void this.#flush();
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    while (this.#waiting.length > 0) {
      if (this.#options.underWay() >= SETTLE_GATHER_FROM && this.#waiting.length < SETTLE_AT_ONCE)
        await this.#runtime.wake.next([], SETTLE_GATHER_MS, this.#options.stopping);
      const now = this.#runtime.services.clock.now();
      const ended = this.#waiting.splice(0, SETTLE_AT_ONCE);
      for (const one of ended) one.settlement.age_ms = now - one.startedAt;
      await this.#settle(ended);
    }
    this.#flushing = false;
  }

  async #settle(rows: readonly Ended[]): Promise<void> {
    try {
      const given = JSON.stringify(rows.map(({ settlement }) => settlement));
      const settled = await this.#runtime.plinth.asWorker({ ...this.#options.limits, single: true }, (tx) => tx.query<Settled>(SETTLE, [given]));
      this.#account(settled, rows);
    } catch (error) {
      const { code } = toPlinthError(error);
      this.#troubled('could not write results', error);
      if (code === 'kernel_unavailable' || code === 'kernel_serialization' || code === 'kernel_timeout') {
        await this.#runtime.wake.next([], this.#options.pollMs);
        for (const row of rows) this.#again(row, 0);
      } else if (rows.length > 1) for (const row of rows) await this.#settle([row]);
      // One row that the database refuses must not cost the others their result.
      else if (rows[0]) void this.#endRefused(rows[0], error).finally(rows[0].written);
    }
  }

  #account(settled: readonly Settled[], rows: readonly Ended[]): void {
    const status = new Map(settled.map((row) => [row.delivery_id, row.status]));
    const late = rows.filter(({ settlement }) => !status.has(settlement.id)).length;
    if (late > 0) this.#runtime.services.log.warn({ module: 'webhooks', lost: late }, 'webhooks: results came after the lease had ended');
    if (settled.some((row) => row.to_tell)) this.#options.onToTell();
    for (const row of rows) {
      const became = status.get(row.settlement.id);
      // Somebody holds its lane or the delivery, in most cases for no longer than a statement.
      if (became === 'busy') this.#again(row, Math.min(BUSY_MS * 2 ** row.tries, this.#options.pollMs));
      else if (became === 'deleted') void this.#logDeleted(row).finally(row.written);
      else row.written();
    }
  }

  /** Until the lease has run out; then the delivery is due again and will be sent again, under the same webhook-id. */
  #again(row: Ended, waitMs: number): void {
    row.tries += 1;
    const over = this.#runtime.services.clock.now() - row.startedAt > this.#options.leaseMs;
    if (over || (this.#options.hurry.aborted && row.tries > TRIES_IN_A_HURRY)) {
      const { tenant_id, subscription_id, id } = row.settlement;
      this.#runtime.services.log.warn(
        { module: 'webhooks', tenant_id, subscription_id, delivery_id: id },
        'webhooks: the result of an attempt was not written in time',
      );
      row.written();
    } else if (waitMs === 0) this.#add(row);
    else void this.#runtime.wake.next([], waitMs).then(() => this.#add(row));
  }

  async #logDeleted(row: Ended): Promise<void> {
    await this.#runtime.plinth
      .asWorker(this.#options.limits, (tx) => tx.query(LOG_ATTEMPT, [loggedRow(row, row.settlement)]))
      .catch((error: unknown) => this.#troubled('could not log an attempt of a deleted subscription', error));
  }

  /** A result that the database refuses would be refused again, after another request: the attempt is written without it, and the delivery ends. */
  async #endRefused(ended: Ended, cause: unknown): Promise<void> {
    const { tenant_id, id, lease_id, subscription_id, lane_key, outcome, url = '' } = ended.settlement;
    if (outcome === 'returned' || toPlinthError(cause).code !== 'kernel_invalid_input') return;
    const refused = fail('result_refused', { cause });
    const row = {
      tenant_id,
      id,
      lease_id,
      subscription_id,
      lane_key,
      outcome,
      url,
      error_code: refused.code,
      error_message: `${refused.message}. ${refused.wayOut}`,
    };
    try {
      await this.#runtime.plinth.asWorker(this.#options.limits, (tx) => tx.query(SETTLE_REFUSED, [loggedRow(ended, row)]));
    } catch (fault) {
      return this.#troubled('could not end an attempt', fault);
    }
    this.#runtime.services.log.error(
      { module: 'webhooks', tenant_id, subscription_id, delivery_id: id, outcome, code: refused.code, detail: String((cause as Error).cause ?? cause) },
      'webhooks: the result of an attempt could not be written; its delivery is not tried again',
    );
  }

  #troubled(what: string, error: unknown): void {
    const { code, message } = toPlinthError(error);
    this.#runtime.services.log.warn({ module: 'webhooks', code, error: message }, `webhooks: ${what}`);
  }
}
