/** Why a bar of an issue is missed, or a peer wins, by benchmark and bar: docs/benchmarks.md tells it beside the figure. */
export const reasons: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  audit: {
    'insert + entry vs bare insert':
      'An entry is a row of 22 columns with three indexes, forced row security and checked values: 70 to 80 us of a transaction whose business insert alone takes 180 to 250 on two processors. ADR 0011 has what each part costs and what was tried.',
    'captured bulk insert vs bare (speed)':
      'Each captured row is an entry of its own: its image as jsonb (a quarter of the time), its row, and three index entries (a half). Rows in chunks reach 0.39 to 0.44, but need a buffer table and a worker that expands them, so that the history would lag behind.',
  },
  bundle: {
    'bundle vs the business row alone':
      'Three more rows with eight index entries for one: the slower the disk, the less they weigh beside the COMMIT that they share (0.35 to 0.45 on a fast one, 0.54 on a slow one).',
    'bundle vs the glue, which is not atomic':
      'The glue writes plain rows without row security, checks, history or fences, one COMMIT each, and a Redis that syncs once a second. Where Redis syncs on every write, as the bundle does, the ratio is 1.7 where it was 1.2. From one hour of such a host to another it is 1.11 to 1.71.',
  },
  'event-store-peers': {
    'tx.events.append vs emmett appendToStream, 16 clients':
      'The processors are the limit where COMMIT is quick, and an append takes 1.3 to 1.6 times less of them than the peer: 1.38 to 1.67 from one hour of such a host to another, 1.51 twice in runs of 15 rounds.',
    'plinth.append_event vs Message DB write_message, 16 clients, one category':
      'Message DB waits for one COMMIT after the other, so it gains from a quick disk what we do not, and a busy host slows us more than it: 1.76 to 2.29 from one hour of such a host to another, 1.85 and 2.22 in runs of 15 rounds. Of the instructions of an append a tenth looks up the event type, a seventh is row security.',
  },
  jobs: {
    'claim + complete, best of 1 to 64 slots vs tuned graphile-worker, both with synchronous_commit off':
      'graphile-worker deletes a job that is done and keeps no history; plinth keeps every attempt.',
    'claim + complete, durable vs tuned graphile-worker, both with synchronous_commit on': 'As above.',
    'claim + complete, best of 1 to 64 slots vs pg-boss fetch(1000)':
      'Between 1.50 and 2.11 from one hour of the machine to another; in rounds of 100,000 jobs nearer to the upper end than in those of 20,000.',
    'log of a job with 40 bytes of payload, enqueue to done, in bytes':
      'Every job keeps its history: who enqueued it, under which correlation id, its attempts, and the indexes by which lists and traces find them.',
    'a job added to a business transaction: transactions/s vs without':
      'The business transaction is one insert of three columns, and the job is a row of its own in the same message: on two processors that the callers share every row shows. No caller waits for another: 0 lock waits.',
  },
  'jobs-backlog': {
    'claim with the backlog vs graphile-worker with the same': 'As without a backlog: neither slows down with it.',
    'claim with the backlog vs pg-boss with the same': 'As without a backlog.',
  },
};
