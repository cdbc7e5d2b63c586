/** What `plinth doctor` says of one thing. */
export interface Finding {
  check: string;
  state: 'ok' | 'warning' | 'fault';
  /** What was seen. */
  seen: string;
  wayOut?: string;
}

export const ok = (check: string, seen: string): Finding => ({ check, state: 'ok', seen });
export const fault = (check: string, seen: string, wayOut: string): Finding => ({ check, state: 'fault', seen, wayOut });
export const warning = (check: string, seen: string, wayOut: string): Finding => ({ check, state: 'warning', seen, wayOut });
