import { type ReactNode, useState } from 'react';
import { useAct, useAsk } from './asking.ts';
import type { Exchange } from './client.ts';
import { pretty } from './json.ts';
import { Badge, Busy, Code, Dialog, Trouble } from './parts.tsx';
import { usePortal } from './portal-context.tsx';

const headerLines = (headers: Readonly<Record<string, unknown>> | null): string =>
  Object.entries(headers ?? {})
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join('\n');

/** One attempt with request, answer and timings. */
export function AttemptDetail({ id, onClose, onSent }: { id: string; onClose: () => void; onSent: () => void }): ReactNode {
  const { data: attempt, error, reload } = useAsk<Exchange>(`/attempts/${id}`);
  return (
    <Dialog title={attempt ? attempt.event_type : 'Attempt'} onClose={onClose} wide>
      {error ? <Trouble error={error} retry={reload} /> : null}
      {!attempt && !error ? <Busy /> : null}
      {attempt ? (
        <>
          <Outcome attempt={attempt} />
          <Again attempt={attempt} onSent={onSent} />
          <h3>Request</h3>
          {attempt.request_headers ? <Code label="Headers of the request">{headerLines(attempt.request_headers)}</Code> : null}
          <Code label="Body of the request">{pretty(attempt.request_body ?? '')}</Code>
          <h3>Answer</h3>
          {attempt.response_headers ? <Code label="Headers of the answer">{headerLines(attempt.response_headers)}</Code> : null}
          {attempt.response_body ? <Code label="Body of the answer">{pretty(attempt.response_body)}</Code> : <p className="plp-soft">No body.</p>}
        </>
      ) : null}
    </Dialog>
  );
}

const PHASES = ['dns', 'connect', 'tls', 'wait', 'total'];

/** As they happen: JSON out of the database has its keys in an order of its own. */
const inOrder = (timings: Readonly<Record<string, number>>): [phase: string, ms: number][] =>
  Object.entries(timings).sort(([one], [other]) => PHASES.indexOf(one) - PHASES.indexOf(other));

function Outcome({ attempt }: { attempt: Exchange }): ReactNode {
  const { time } = usePortal();
  return (
    <dl className="plp-facts">
      <dt>Outcome</dt>
      <dd>
        <Badge tone={attempt.status === 'delivered' ? 'ok' : 'bad'}>{attempt.status}</Badge> {attempt.response_code} {attempt.error_message}
      </dd>
      <dt>URL</dt>
      <dd className="plp-break">{attempt.url}</dd>
      <dt>At</dt>
      <dd>
        {time(attempt.attempted_at)}, attempt {attempt.attempt_number}
      </dd>
      <dt>webhook-id</dt>
      <dd className="plp-break">{attempt.delivery_id}</dd>
      {inOrder(attempt.timings ?? {}).map(([phase, ms]) => (
        <Phase key={phase} phase={phase} ms={ms} />
      ))}
    </dl>
  );
}

function Phase({ phase, ms }: { phase: string; ms: number }): ReactNode {
  return (
    <>
      <dt>{phase.replace(/_?ms$/i, '').replaceAll('_', ' ')}</dt>
      <dd>{Math.round(ms * 10) / 10} ms</dd>
    </>
  );
}

function Again({ attempt, onSent }: { attempt: Exchange; onSent: () => void }): ReactNode {
  const { client, canManage, time } = usePortal();
  const act = useAct();
  const [told, setTold] = useState('');
  // Test events are not kept.
  if (!canManage || attempt.event_id === null) return null;
  const resend = (): void =>
    act.run(async () => {
      const { paused_until } = await client.send<{ paused_until: string | null }>('POST', `/attempts/${attempt.id}/resend`);
      setTold(paused_until ? `It waits: nothing is sent to the endpoint before ${time(paused_until)}.` : 'It is on its way, with the same webhook-id.');
      onSent();
    });
  return (
    <>
      <p className="plp-row">
        <button type="button" className="plp-button" aria-disabled={act.busy} onClick={resend}>
          Send it again
        </button>
        <output>{told}</output>
      </p>
      {act.error ? <Trouble error={act.error} /> : null}
    </>
  );
}
