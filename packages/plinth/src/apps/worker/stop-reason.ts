/** Why the signal of a running job was aborted: `signal.reason.why`. */
export class StopReason extends Error {
  readonly why: 'cancelled' | 'timeout' | 'shutdown' | 'lease_lost';

  constructor(why: StopReason['why'], message: string) {
    super(message);
    this.name = 'StopReason';
    this.why = why;
  }
}
