import { type ReactNode, useEffect, useState } from 'react';
import { AttemptDetail } from './AttemptDetail.tsx';
import { usePages } from './asking.ts';
import type { Attempt } from './client.ts';
import { Badge, Busy, Empty, Field, More, Trouble } from './parts.tsx';
import { usePortal } from './portal-context.tsx';

/** After something was sent, the list looks again this much later: the worker needs a moment, the receiver maybe more. */
const LOOK_AGAIN_MS = [700, 2_000, 5_000, 12_000];

interface AttemptListProps {
  /** Only those to this endpoint. */
  endpointId?: string;
  /** A number that grows whenever something was sent: the list then looks again a few times. */
  sent?: number;
}

/** Attempts to deliver, newest first; each opens with request and answer. */
export function AttemptList({ endpointId, sent = 0 }: AttemptListProps): ReactNode {
  const [status, setStatus] = useState('');
  const [open, setOpen] = useState<string>();
  const query = new URLSearchParams({ ...(endpointId ? { endpoint_id: endpointId } : {}), ...(status ? { status } : {}) });
  const { rows, error, busy, more, reload } = usePages<Attempt>(`/attempts?${query}`, 'attempts');
  useEffect(() => {
    if (sent === 0) return undefined;
    const timers = LOOK_AGAIN_MS.map((ms) => setTimeout(reload, ms));
    return () => timers.forEach(clearTimeout);
  }, [sent, reload]);
  return (
    <>
      <div className="plp-row">
        <Field label="Outcome">
          {(tied) => (
            <select {...tied} className="plp-input" value={status} onChange={(event) => setStatus(event.target.value)}>
              <option value="">All</option>
              <option value="failed">Failed</option>
              <option value="delivered">Delivered</option>
            </select>
          )}
        </Field>
        <button type="button" className="plp-button" aria-disabled={busy} onClick={reload}>
          Refresh
        </button>
      </div>
      {error ? <Trouble error={error} retry={reload} /> : null}
      {!rows && !error ? <Busy /> : null}
      {rows?.length === 0 ? <Empty>{status ? 'No attempt with this outcome.' : 'Nothing has been sent yet. A test event shows how it looks.'}</Empty> : null}
      {rows && rows.length > 0 ? <AttemptTable rows={rows} onOpen={setOpen} withUrl={endpointId === undefined} /> : null}
      <More more={more} busy={busy} />
      {open ? <AttemptDetail id={open} onClose={() => setOpen(undefined)} onSent={reload} /> : null}
    </>
  );
}

interface AttemptTableProps {
  rows: readonly Attempt[];
  onOpen: (id: string) => void;
  /** Where attempts of several endpoints stand together. */
  withUrl: boolean;
}

function AttemptTable({ rows, onOpen, withUrl }: AttemptTableProps): ReactNode {
  const { time } = usePortal();
  return (
    <table className="plp-table">
      <thead>
        <tr>
          <th scope="col">Attempt</th>
          <th scope="col">Outcome</th>
          <th scope="col">Answer</th>
          <th scope="col">Time</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((attempt) => (
          <tr key={attempt.id}>
            <th scope="row">
              <button type="button" className="plp-link" onClick={() => onOpen(attempt.id)}>
                {attempt.event_type}
              </button>
              <span className="plp-soft">
                {time(attempt.attempted_at)}
                {attempt.attempt_number > 1 ? `, attempt ${attempt.attempt_number}` : ''}
              </span>
              {withUrl ? <span className="plp-soft plp-break">{attempt.url}</span> : null}
            </th>
            <td>
              <Badge tone={attempt.status === 'delivered' ? 'ok' : 'bad'}>{attempt.status}</Badge>
            </td>
            <td className="plp-break">{attempt.response_code ?? attempt.error_code}</td>
            <td className="plp-nowrap">{attempt.response_time_ms === null ? '' : `${attempt.response_time_ms} ms`}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
