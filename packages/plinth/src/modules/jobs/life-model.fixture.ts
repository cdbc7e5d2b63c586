/** What a job, its key, its batch and its dependents may be and become, as the README says it: apart from the SQL, and without time. */

export type Status = 'scheduled' | 'pending' | 'processing' | 'completed' | 'failed' | 'cancelled';
export type Outcome = 'completed' | 'failed' | 'final' | 'cancelled' | 'lost' | 'snoozed' | 'returned';
type End = 'completed' | 'failed' | 'cancelled';
type Parts = Map<string, End | undefined>;

export interface Wish {
  id: string;
  n: number;
  priority: number;
  delayed: boolean;
  maxAttempts: number;
  key: string | undefined;
  until: 'done' | 'started' | 'window';
  onDuplicate: 'keep' | 'reject' | 'replace' | 'debounce';
  dependsOn: readonly string[];
  onFailure: 'fail' | 'ignore' | 'run';
  batchId: string | undefined;
}

export interface Job extends Pick<Wish, 'id' | 'n' | 'priority' | 'maxAttempts' | 'onFailure' | 'key'> {
  status: Status;
  attempts: number;
  /** Times in a row that it was lost with its worker. */
  lost: number;
  cancelAsked: boolean;
  /** Waits for these; with `delayed` not before its time when they have ended. */
  gate: { parts: Parts; open: boolean; delayed: boolean } | undefined;
}

interface Batch {
  parts: Parts;
  finished: Record<End, number> | undefined;
}

export class Refusal extends Error {}

const LIVE: readonly Status[] = ['scheduled', 'pending', 'processing'];
export const waits = (job: Job): boolean => job.status === 'scheduled' || job.status === 'pending';
const open = (parts: Parts): boolean => [...parts.values()].includes(undefined);
const spoiled = (parts: Parts): boolean => [...parts.values()].some((end) => end === 'failed' || end === 'cancelled');

/** The jobs of one tenant and one kind. */
export class Life {
  readonly jobs = new Map<string, Job>();
  readonly batches = new Map<string, Batch>();
  readonly keys = new Map<string, { id: string; until: Wish['until']; over: boolean }>();

  copy(): Life {
    const copy = new Life();
    for (const field of ['jobs', 'batches', 'keys'] as const)
      for (const [id, value] of this[field]) (copy[field] as Map<string, unknown>).set(id, structuredClone(value));
    return copy;
  }

  job(id: string): Job {
    const job = this.jobs.get(id);
    if (!job) throw new Refusal('jobs_job_not_found');
    return job;
  }

  batch(id: string, isOpen: boolean): void {
    this.batches.set(id, { parts: new Map(isOpen ? [[id, undefined]] : []), finished: undefined });
  }

  closeBatch(id: string): void {
    const batch = this.batches.get(id);
    if (batch?.parts.has(id)) batch.parts.set(id, 'completed');
    this.#look();
  }

  /** Returns the job of each row: its own, or that of the holder of its key. */
  enqueue(rows: readonly Wish[], fresh?: string): string[] {
    const added = rows.filter((row) => {
      if (row.key !== undefined && !this.#takes(row.id, row.key, row.onDuplicate, row.until, row)) return false;
      this.jobs.set(row.id, {
        ...row,
        status: row.delayed || row.dependsOn.length > 0 ? 'scheduled' : 'pending',
        attempts: 0,
        lost: 0,
        cancelAsked: false,
        gate: row.dependsOn.length === 0 ? undefined : { parts: new Map(), open: true, delayed: row.delayed },
      });
      return true;
    });
    for (const { batchId } of rows)
      if (batchId !== undefined && batchId !== fresh && !open(this.batches.get(batchId)?.parts ?? new Map())) throw new Refusal('jobs_batch_finished');
    const holderOf = (id: string): string => {
      const key = rows.find((row) => row.id === id)?.key;
      return this.jobs.has(id) || key === undefined ? id : (this.keys.get(key)?.id ?? id);
    };
    for (const { id, batchId, dependsOn } of added) {
      if (batchId !== undefined) this.batches.get(batchId)?.parts.set(id, undefined);
      for (const other of dependsOn.map(holderOf)) this.job(id).gate?.parts.set(other, this.#endOf(other));
    }
    this.#look();
    return rows.map((row) => (row.key === undefined ? row.id : (this.keys.get(row.key)?.id ?? row.id)));
  }

  #endOf(id: string): End | undefined {
    const job = this.jobs.get(id);
    if (!job) throw new Refusal('jobs_dependency_not_found');
    return LIVE.includes(job.status) ? undefined : (job.status as End);
  }

  /** The mode of the holder decides when the key is free; that of the newcomer what happens when it is not. */
  #takes(id: string, key: string, action: Wish['onDuplicate'], until: Wish['until'], row?: Wish): boolean {
    const held = this.keys.get(key);
    if (held?.id === id) return true;
    const holder = held && this.jobs.get(held.id);
    const free = !held || !holder || held.over || (held.until === 'started' && !(waits(holder) && holder.attempts === 0));
    if (free) {
      this.keys.set(key, { id, until, over: false });
      return true;
    }
    if (action === 'reject') throw new Refusal('jobs_duplicate');
    if (row && (action === 'replace' || action === 'debounce') && waits(holder)) {
      holder.n = row.n;
      holder.priority = row.priority;
      this.#move(holder, row.delayed);
    }
    return false;
  }

  #move(job: Job, delayed: boolean): void {
    if (job.gate?.open) job.gate.delayed = delayed;
    else job.status = delayed ? 'scheduled' : 'pending';
  }

  reschedule(id: string, delayed: boolean): void {
    const job = this.job(id);
    if (!waits(job)) throw new Refusal('jobs_not_waiting');
    this.#move(job, delayed);
  }

  due(id: string): void {
    const job = this.jobs.get(id);
    if (job?.status === 'scheduled' && !job.gate?.open) job.status = 'pending';
  }

  claimed(id: string): void {
    const job = this.job(id);
    if (job.status !== 'pending') throw new Error(`job ${id} was claimed though it is ${job.status}`);
    job.status = 'processing';
    job.attempts += 1;
  }

  cancel(id: string): void {
    const job = this.job(id);
    if (job.status === 'completed') throw new Refusal('jobs_already_finished');
    if (job.status === 'failed') job.status = 'cancelled';
    else if (job.status === 'processing') job.cancelAsked = true;
    else if (waits(job)) this.#end(job, 'cancelled');
  }

  ended(id: string, outcome: Outcome): void {
    const job = this.job(id);
    const end = this.#endBy(job, outcome);
    if (end) this.#end(job, end);
    else job.status = outcome === 'returned' || (outcome === 'lost' && job.lost === 1) ? 'pending' : 'scheduled';
  }

  /** How a job is over by this outcome of an attempt, if it is. */
  #endBy(job: Job, outcome: Outcome): End | undefined {
    if (outcome === 'completed') return 'completed';
    if (outcome === 'cancelled' || job.cancelAsked) return 'cancelled';
    if (outcome === 'snoozed' || outcome === 'returned') job.attempts -= 1;
    if (outcome !== 'returned') job.lost = outcome === 'lost' ? job.lost + 1 : 0;
    const counts = outcome === 'failed' || outcome === 'lost';
    return outcome === 'final' || (counts && job.attempts >= job.maxAttempts) || (counts && job.lost >= 3) ? 'failed' : undefined;
  }

  #end(job: Job, end: End): void {
    job.status = end;
    const held = job.key === undefined ? undefined : this.keys.get(job.key);
    if (job.key !== undefined && held?.id === job.id && (held.until !== 'window' || held.over)) this.keys.delete(job.key);
    // It holds its key again when it is run again only if it would still hold it.
    if (end === 'failed' && (held?.id !== job.id || held.until !== 'done')) job.key = undefined;
    if (job.gate) job.gate.open = false;
    for (const { parts } of [...this.batches.values(), ...[...this.jobs.values()].flatMap(({ gate }) => gate ?? [])])
      if (parts.has(job.id) && parts.get(job.id) === undefined) parts.set(job.id, end);
    this.#look();
  }

  /** What has nothing left to wait for goes on. */
  #look(): void {
    for (const batch of this.batches.values()) {
      if (batch.finished || open(batch.parts)) continue;
      batch.finished = { completed: 0, failed: 0, cancelled: 0 };
      for (const [id, end] of batch.parts) if (end && this.jobs.has(id)) batch.finished[end] += 1;
    }
    for (const job of this.jobs.values()) {
      const { gate } = job;
      if (!gate?.open) continue;
      const bad = job.onFailure !== 'ignore' && spoiled(gate.parts);
      if (!bad && open(gate.parts)) continue;
      gate.open = false;
      if (bad && job.onFailure === 'fail') this.#end(job, 'failed');
      else job.status = gate.delayed ? 'scheduled' : 'pending';
    }
  }

  retry(id: string, withDependents: boolean): void {
    const job = this.job(id);
    if (job.status !== 'failed') throw new Refusal('jobs_not_failed');
    this.#revive(job);
    if (!withDependents) return;
    for (const dependent of this.#after(id)) this.#tryRevive(dependent);
  }

  redrive(cancel: boolean): number {
    const dead = [...this.jobs.values()].flatMap(({ id, status }) => (status === 'failed' ? [id] : [])).sort();
    if (cancel) for (const id of dead) this.job(id).status = 'cancelled';
    return cancel ? dead.length : dead.filter((id) => this.#tryRevive(id)).length;
  }

  /** Those that failed because of it, each after all that it depends on. */
  #after(id: string): string[] {
    const steps = new Map<string, number>();
    const visit = (of: string, step: number): void => {
      for (const { id: next, gate, onFailure } of this.jobs.values()) {
        if (gate?.parts.get(of) !== 'failed' || onFailure !== 'fail') continue;
        steps.set(next, Math.max(steps.get(next) ?? 0, step));
        visit(next, step + 1);
      }
    };
    visit(id, 1);
    return [...steps].sort((one, other) => one[1] - other[1] || (one[0] < other[0] ? -1 : 1)).map(([next]) => next);
  }

  #tryRevive(id: string): boolean {
    const job = this.job(id);
    if (job.status !== 'failed') return false;
    const before = this.copy();
    try {
      this.#revive(job);
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      for (const field of ['jobs', 'batches', 'keys'] as const) {
        this[field].clear();
        for (const [id, value] of before[field]) (this[field] as Map<string, unknown>).set(id, value);
      }
      return false;
    }
  }

  #revive(job: Job): void {
    if (job.key !== undefined) this.#takes(job.id, job.key, 'reject', 'done');
    for (const { parts, finished } of this.batches.values()) if (!finished && parts.has(job.id) && open(parts)) parts.set(job.id, undefined);
    for (const { gate } of this.jobs.values()) if (gate?.open && gate.parts.has(job.id) && open(gate.parts)) gate.parts.set(job.id, undefined);
    job.maxAttempts = job.attempts + 3;
    job.status = 'pending';
    if (!job.gate) return;
    const { parts } = job.gate;
    for (const [id, end] of parts) if (end === 'failed' || end === 'cancelled') parts.set(id, this.#endOf(id));
    if (job.onFailure === 'fail' && spoiled(parts)) throw new Refusal('jobs_dependency_failed');
    if (!open(parts)) return;
    Object.assign(job.gate, { open: true, delayed: false });
    job.status = 'scheduled';
    this.#look();
  }
}
