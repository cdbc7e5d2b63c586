import { toPlinthError } from '#kernel/errors.ts';
import { FEED_SIGNAL } from '#kernel/feed.ts';
import { measured } from '#kernel/telemetry.ts';
import type { WorkerPart, WorkerRuntime } from '#kernel/work.ts';
import type { ClaimedDelivery, Settlement } from './attempt.ts';
import { attemptDelivery } from './attempt.ts';
import { DUE } from './consumer.ts';
import { isSealedBody, revealBodies } from './format.ts';
import { Results } from './results.ts';
import type { HttpSender } from './sender.ts';
import { senderOf } from './sender.ts';

export interface DispatchOptions {
  /** Attempts under way in this process. Default 512. */
  concurrency?: number;
  /** Cap on the attempts under way for one subscription, over all processes; each has a window of its own, 10 unless its policy says otherwise. Default 1,000. */
  perSubscription?: number;
  /** Places of this process that one tenant may fill. Default three quarters of `concurrency`. */
  perTenant?: number;
  /** Of bodies under way in this process; one tenant has at most three quarters of them. Default 64 MiB. */
  bytes?: number;
  /** Longest time that a due delivery waits for a look when no hint came. Default 1,000. */
  pollMs?: number;
  /** For one attempt. Default 15,000. */
  timeoutMs?: number;
  /** Time after `timeoutMs` in which a result is written down; then the lease is over and somebody else may send the delivery again. Default 45,000. */
  leaseMarginMs?: number;
  /** How long `stop` lets attempts finish before it calls them back. Default 3,000. */
  graceMs?: number;
  /** Longest run of one statement on the database. Default 10,000. */
  statementMs?: number;
  /** Longest pause between the statements of a transaction: the server ends that of a process that stands still, so that others go on. Default 5,000. */
  idleMs?: number;
}

const DEFAULTS = {
  concurrency: 512,
  perSubscription: 1000,
  bytes: 67_108_864,
  pollMs: 1000,
  timeoutMs: 15_000,
  leaseMarginMs: 45_000,
  graceMs: 3000,
  statementMs: 10_000,
  idleMs: 5000,
};
/** Under load is when more than this share of the places is taken. */
const LOAD_SHARE = 0.5;
/** So many places, as a share of all, are given out at once, unless the rest ends before. */
const GATHER_SHARE = 1 / 3;
/** A claim that takes something looks at every lane, so what is taken little by little costs more than what is sent: it rests so many times as long as it took. */
const REST_CLAIMS = 2;
const REST_CLAIMS_LOADED = 3;
const TIDY_EVERY_MS = 3_600_000;
const TELL_EVERY_MS = 60_000;

const CLAIM = `select * from plinth_webhooks.claim($1, $2, $3 * interval '1 millisecond', $4, $5, p_bytes => $6, p_bytes_per_tenant => $7)`;
const TOLD_AT_ONCE = 100;
const TO_TELL = `select tenant_id, subscription_id from plinth_webhooks.lanes where warned <> told and (tenant_id, subscription_id) > ($1::uuid, $2::uuid)
  order by tenant_id, subscription_id limit ${TOLD_AT_ONCE}`;
const NIL = '00000000-0000-0000-0000-000000000000';
const TIDY = ['select plinth_webhooks.forget_secrets()', 'select plinth_webhooks.sweep_deliveries()'];

/** Sends what is due. No transaction is open during an attempt; results are written down many at once. */
class Dispatcher {
  readonly #runtime: WorkerRuntime;
  readonly #options: typeof DEFAULTS & { perTenant: number };
  readonly #holder: string;
  readonly #sender: HttpSender;
  readonly #stopping = new AbortController();
  readonly #callBack = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #results: Results;
  readonly #limits: { timeoutMs: number; idleMs: number };
  readonly #unlisten: () => void;
  readonly #loop: Promise<void>;
  #progress = new AbortController();
  #gathered = new AbortController();
  /** Places that came free since the last claim. */
  #freed = 0;
  /** Of the bodies under way. */
  #bytes = 0;
  #telling: Promise<void> | undefined;
  #toldAt = 0;
  #tidying: Promise<unknown> | undefined;
  #tidiedAt = 0;

  constructor(runtime: WorkerRuntime, options: DispatchOptions) {
    this.#runtime = runtime;
    const concurrency = options.concurrency ?? DEFAULTS.concurrency;
    this.#options = { ...DEFAULTS, perTenant: Math.max(1, Math.floor(concurrency * 0.75)), ...options };
    const { timeoutMs, leaseMarginMs, pollMs, statementMs, idleMs } = this.#options;
    this.#limits = { timeoutMs: statementMs, idleMs };
    this.#results = new Results(runtime, {
      leaseMs: timeoutMs + leaseMarginMs,
      pollMs,
      limits: this.#limits,
      underWay: () => this.#running.size,
      stopping: this.#stopping.signal,
      hurry: this.#callBack.signal,
      onToTell: () => this.#tell(),
    });
    this.#holder = runtime.plinth.newId();
    this.#sender = senderOf(runtime.services.adapters);
    // Listening all the time, not only between two looks: a hint that comes while one is under way must cause the next.
    this.#unlisten = runtime.wake.on(DUE, () => this.#progress.abort());
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#unlisten();
    this.#progress.abort();
    await this.#loop;
    const finished = Promise.all(this.#running);
    await Promise.race([finished, this.#runtime.wake.next([], this.#options.graceMs)]);
    this.#callBack.abort(new Error('the worker shuts down'));
    await finished;
    await this.#telling;
    await this.#tidying;
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#progress = new AbortController();
      this.#gathered = new AbortController();
      this.#freed = 0;
      const startedMs = this.#runtime.services.clock.now();
      const claimed = await this.#claim().catch((error: unknown) => this.#troubled('could not look for deliveries', error));
      const claimedMs = this.#runtime.services.clock.now();
      for (const delivery of claimed) this.#start(delivery);
      // What another process found and died before it could tell.
      if (this.#runtime.services.clock.now() - this.#toldAt > TELL_EVERY_MS) this.#tell();
      if (this.#runtime.services.clock.now() - this.#tidiedAt > TIDY_EVERY_MS) this.#tidy();
      // Without a free place nothing can be taken; without a claim nothing is due, until an attempt ends, a hint comes or time passes.
      const more = claimed.length > 0 && this.#running.size < this.#options.concurrency;
      if (!more) await this.#runtime.wake.next([], this.#options.pollMs, AbortSignal.any([this.#stopping.signal, this.#progress.signal]));
      // Deliveries and places gather meanwhile; who has waited for a hint has rested.
      const restMs = (claimedMs - startedMs) * (this.#loaded() ? REST_CLAIMS_LOADED : REST_CLAIMS) - (this.#runtime.services.clock.now() - claimedMs);
      if (restMs > 0) await this.#runtime.wake.next([], restMs, AbortSignal.any([this.#stopping.signal, this.#gathered.signal]));
    }
  }

  #loaded(): boolean {
    return this.#running.size > this.#options.concurrency * LOAD_SHARE;
  }

  #troubled(what: string, error: unknown, whose: Record<string, string> = {}): ClaimedDelivery[] {
    const { code, message } = toPlinthError(error);
    this.#runtime.services.log.warn({ module: 'webhooks', ...whose, code, error: message }, `webhooks: ${what}`);
    return [];
  }

  async #claim(): Promise<ClaimedDelivery[]> {
    const { concurrency, perSubscription, perTenant, bytes, timeoutMs, leaseMarginMs } = this.#options;
    const free = concurrency - this.#running.size;
    const freeBytes = bytes - this.#bytes;
    if (free <= 0 || freeBytes <= 0) return [];
    const claimed = await this.#runtime.plinth.asWorker({ ...this.#limits, single: true }, (tx) =>
      tx.query<ClaimedDelivery>(CLAIM, [free, perSubscription, timeoutMs + leaseMarginMs, this.#holder, perTenant, freeBytes, Math.ceil(bytes * 0.75)]),
    );
    return this.#reveal(claimed);
  }

  /** What is stored stays encrypted: personal fields are readable on the way out only, and no longer once their subject was erased. */
  async #reveal(claimed: ClaimedDelivery[]): Promise<ClaimedDelivery[]> {
    const sealed = claimed.filter((delivery) => delivery.reveal && isSealedBody(delivery));
    if (sealed.length === 0) return claimed;
    const unreadable = (delivery: ClaimedDelivery, error: unknown): ClaimedDelivery => ({ ...delivery, unreadable: error });
    const shown = await this.#runtime.plinth
      .asWorker({ readOnly: true, ...this.#limits }, (tx) => revealBodies(tx, sealed, unreadable))
      .catch((error: unknown) => sealed.map((delivery) => unreadable(delivery, error)));
    const byId = new Map(shown.map((delivery) => [delivery.lease_id, delivery]));
    return claimed.map((delivery) => {
      const readable = byId.get(delivery.lease_id);
      return readable ? { ...readable, stored: delivery.body } : delivery;
    });
  }

  #start(delivery: ClaimedDelivery): void {
    const startedAt = this.#runtime.services.clock.now();
    const { length } = delivery.body;
    this.#bytes += length;
    const attempt = this.#attempt(delivery).then((settlement) => this.#results.write(delivery, settlement, startedAt));
    const running: Promise<void> = attempt.finally(() => {
      this.#running.delete(running);
      this.#bytes -= length;
      this.#freed += 1;
      // Asked first, because every abort makes an exception.
      if (!this.#progress.signal.aborted) this.#progress.abort();
      if (this.#freed >= this.#options.concurrency * GATHER_SHARE && !this.#gathered.signal.aborted) this.#gathered.abort();
    });
    this.#running.add(running);
  }

  #attempt(delivery: ClaimedDelivery): Promise<Settlement> {
    const facts = {
      'plinth.delivery_id': delivery.id,
      'plinth.subscription_id': delivery.subscription_id,
      'plinth.attempt': delivery.attempt,
      ...(delivery.correlation_id ? { 'plinth.correlation_id': delivery.correlation_id } : {}),
    };
    return measured({ kind: 'delivery', labels: {}, facts }, async (note) => {
      const settlement = await attemptDelivery(delivery, {
        sender: this.#sender,
        clock: this.#runtime.services.clock,
        timeoutMs: this.#options.timeoutMs,
        signal: this.#callBack.signal,
        onFailure: (failed, error) => this.#tellOperator(failed, error),
      });
      note({
        'plinth.outcome': settlement.outcome,
        ...(settlement.response_code === undefined ? {} : { 'http.response.status_code': settlement.response_code }),
      });
      return settlement;
    });
  }

  #tellOperator(delivery: ClaimedDelivery, error: unknown): void {
    const { operatorDetail } = error as { operatorDetail?: unknown };
    const { code, message } = toPlinthError(error);
    const detail = typeof operatorDetail === 'string' ? operatorDetail : String(error);
    const fields = {
      module: 'webhooks',
      tenant_id: delivery.tenant_id,
      correlation_id: delivery.correlation_id,
      delivery_id: delivery.id,
      attempt: delivery.attempt,
      code,
      detail,
    };
    this.#runtime.services.log.warn(fields, `webhooks: attempt failed: ${message}`);
  }

  /** In transactions of their own: what is due does not wait for it. */
  #tidy(): void {
    this.#tidiedAt = this.#runtime.services.clock.now();
    const run = (text: string): Promise<unknown> =>
      this.#runtime.plinth.asWorker(this.#limits, (tx) => tx.query(text)).catch((error: unknown) => this.#troubled('could not tidy up', error));
    this.#tidying = Promise.all(TIDY.map(run));
  }

  /** Tells tenants of subscriptions that fail or were disabled: an audit entry and an event, in one transaction with the note that it was done. */
  #tell(): void {
    this.#toldAt = this.#runtime.services.clock.now();
    const told = (this.#telling ?? Promise.resolve())
      .then(() => this.#tellAll())
      .catch((error: unknown) => void this.#troubled('could not tell of failing subscriptions', error));
    this.#telling = told;
  }

  /** Goes past whoever cannot be told now: the next round finds them again. */
  async #tellAll(): Promise<void> {
    const failed = new Set<string>();
    let after = [NIL, NIL];
    for (;;) {
      const lanes = await this.#runtime.plinth.asWorker(this.#limits, (tx) => tx.query<{ tenant_id: string; subscription_id: string }>(TO_TELL, after));
      for (const { tenant_id: tenantId, subscription_id: id } of lanes) {
        if (this.#stopping.signal.aborted) return;
        after = [tenantId, id];
        // What keeps one of a tenant from being told keeps the others too, in most cases, and may take its time.
        if (failed.has(tenantId)) continue;
        await this.#tellOne(tenantId, id).catch((error: unknown) => {
          failed.add(tenantId);
          this.#troubled('could not tell of a failing subscription', error, { tenant_id: tenantId, subscription_id: id });
        });
      }
      if (lanes.length < TOLD_AT_ONCE) return;
    }
  }

  #tellOne(tenantId: string, id: string): Promise<void> {
    return this.#runtime.plinth.transaction({ tenantId, actor: { type: 'system', id: 'webhooks' }, ...this.#limits }, async (tx) => {
      const [told] = await tx.query<{ stage: number | null }>('select plinth_webhooks.tell($1) as stage', [id]);
      if (!told?.stage) return;
      this.#runtime.services.log.warn({ module: 'webhooks', tenant_id: tenantId, subscription_id: id, stage: told.stage }, 'webhooks: subscription fails');
      tx.signal(FEED_SIGNAL);
    });
  }
}

/** The part of the worker that sends: claims, attempts, writes results. Needs the adapter `egress`. */
export const dispatcher =
  (options: DispatchOptions = {}): WorkerPart =>
  (runtime) =>
    new Dispatcher(runtime, options);
