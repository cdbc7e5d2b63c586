import { type ReactNode, useState } from 'react';
import { AttemptList } from './AttemptList.tsx';
import { useAct, useAsk, usePages } from './asking.ts';
import type { ChangedEndpoint, Endpoint, EventType } from './client.ts';
import { EndpointForm } from './EndpointForm.tsx';
import { EndpointState } from './EndpointList.tsx';
import { Busy, Counted, Dialog, Title, Trouble } from './parts.tsx';
import { usePortal } from './portal-context.tsx';
import { ReplayList } from './ReplayList.tsx';
import { ResumeForm } from './ResumeForm.tsx';
import { Signing } from './Signing.tsx';

/** One endpoint with all that can be done about it. */
export function EndpointDetail({ id, onBack }: { id: string; onBack: () => void }): ReactNode {
  const { data: endpoint, error, reload } = useAsk<Endpoint>(`/endpoints/${id}`);
  const [sent, setSent] = useState(0);
  return (
    <section>
      <p>
        <button type="button" className="plp-link" onClick={onBack}>
          ← All endpoints
        </button>
      </p>
      {error ? <Trouble error={error} retry={reload} /> : null}
      {!endpoint && !error ? <Busy /> : null}
      {endpoint ? (
        <>
          <Facts endpoint={endpoint} />
          <Deeds endpoint={endpoint} onChanged={reload} onGone={onBack} onSent={() => setSent((count) => count + 1)} />
          <Signing endpoint={endpoint} onChanged={reload} />
          <ReplayList endpointId={id} onStarted={() => setSent((count) => count + 1)} />
          <h3>Attempts</h3>
          <AttemptList endpointId={id} sent={sent} />
        </>
      ) : null}
    </section>
  );
}

function Facts({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const { time } = usePortal();
  return (
    <>
      <div className="plp-row">
        <Title>
          <bdi>{endpoint.name}</bdi>
        </Title>
        <EndpointState endpoint={endpoint} />
        {endpoint.waiting > 0 ? (
          <span className="plp-soft">
            <Counted count={endpoint.waiting} one="delivery waits" many="deliveries wait" />
            {endpoint.next_attempt_at ? `; the next attempt is at ${time(endpoint.next_attempt_at)}` : ''}
          </span>
        ) : endpoint.paused_until ? (
          <span className="plp-soft">Nothing is sent before {time(endpoint.paused_until)}</span>
        ) : null}
      </div>
      {endpoint.description ? <p dir="auto">{endpoint.description}</p> : null}
      <dl className="plp-facts">
        <dt>URL</dt>
        <dd className="plp-break">{endpoint.url ?? 'None: messages are pulled'}</dd>
        <dt>Events</dt>
        <dd className="plp-break">
          {endpoint.patterns.join(', ')}
          {endpoint.public_only ? ' (public types only)' : ''}
        </dd>
        <dt>Made</dt>
        <dd>{time(endpoint.created_at)}</dd>
        {endpoint.failing_since ? (
          <>
            <dt>Failing since</dt>
            <dd>
              {time(endpoint.failing_since)}, {endpoint.failure_count} {endpoint.failure_count === 1 ? 'attempt' : 'attempts in a row'}
              {endpoint.disabled_not_before ? `. If none arrives, it is disabled, not before ${time(endpoint.disabled_not_before)}` : ''}
            </dd>
          </>
        ) : null}
        {endpoint.disabled_at ? (
          <>
            <dt>Disabled</dt>
            <dd>
              {time(endpoint.disabled_at)}: {endpoint.disabled_reason}
            </dd>
          </>
        ) : null}
      </dl>
    </>
  );
}

interface DeedsProps {
  endpoint: Endpoint;
  onChanged: () => void;
  onGone: () => void;
  onSent: () => void;
}

function Deeds({ endpoint, onChanged, onGone, onSent }: DeedsProps): ReactNode {
  const { client, canManage, time } = usePortal();
  const act = useAct();
  const [open, setOpen] = useState<'edit' | 'resume' | 'delete'>();
  const [told, setTold] = useState('');
  const [testType, setTestType] = useState('');
  if (!canManage) return null;
  const path = `/endpoints/${endpoint.id}`;
  const test = (): void =>
    act.run(async () => {
      const { paused_until } = await client.send<{ paused_until: string | null }>('POST', `${path}/test`, testType === '' ? {} : { event_type: testType });
      setTold(
        paused_until
          ? `A test event is the next to be sent, but nothing is sent before ${time(paused_until)}.`
          : 'A test event is on its way; it will stand among the attempts.',
      );
      onSent();
      onChanged();
    });
  const disable = (): void =>
    act.run(async () => {
      await client.send('POST', `${path}/disable`);
      setTold('Disabled. What was waiting stays.');
      onChanged();
    });
  // They say how many wait: as it is now, not as it was when the page was opened.
  const show = (form: 'edit' | 'resume' | 'delete'): void => {
    setOpen(form);
    onChanged();
  };
  const saved = (changed?: ChangedEndpoint): void => {
    setTold(changed && changed.withheld > 0 ? `Saved. ${changed.withheld} of what waited will not be sent: the types are not public.` : 'Saved.');
    onChanged();
  };
  const resumed = (sentence: string): void => {
    setTold(sentence);
    onChanged();
    onSent();
  };
  return (
    <>
      <p className="plp-row">
        <button type="button" className="plp-button plp-main" aria-disabled={act.busy} disabled={!endpoint.enabled} onClick={test}>
          Send a test event
        </button>
        <TestType value={testType} onChange={setTestType} />
        <button type="button" className="plp-button" onClick={() => show('edit')}>
          Change
        </button>
        {endpoint.enabled && endpoint.breaker === 'closed' ? null : (
          <button type="button" className="plp-button" onClick={() => show('resume')}>
            Resume…
          </button>
        )}
        {endpoint.enabled ? (
          <button type="button" className="plp-button" aria-disabled={act.busy} onClick={disable}>
            Disable
          </button>
        ) : null}
        <button type="button" className="plp-button plp-danger" onClick={() => show('delete')}>
          Delete…
        </button>
      </p>
      <output>{told}</output>
      {act.error ? <Trouble error={act.error} /> : null}
      {open === 'edit' ? <EndpointForm endpoint={endpoint} onClose={() => setOpen(undefined)} onSaved={saved} /> : null}
      {open === 'resume' ? <ResumeForm endpoint={endpoint} onClose={() => setOpen(undefined)} onResumed={resumed} /> : null}
      {open === 'delete' ? <Deletion endpoint={endpoint} onClose={() => setOpen(undefined)} onGone={onGone} /> : null}
    </>
  );
}

/** Of what type the test event is: that of all, or one of the catalogue that has an example. */
function TestType({ value, onChange }: { value: string; onChange: (type: string) => void }): ReactNode {
  const { rows } = usePages<EventType>('/event-types?limit=200', 'types');
  const types = (rows ?? []).filter(({ example }) => example !== null);
  return (
    <select className="plp-input plp-short" aria-label="Type of the test event" value={value} onChange={(event) => onChange(event.target.value)}>
      <option value="">webhooks.test</option>
      {types.map(({ name }) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}

function Deletion({ endpoint, onClose, onGone }: { endpoint: Endpoint; onClose: () => void; onGone: () => void }): ReactNode {
  const { client } = usePortal();
  const act = useAct();
  const remove = (): void =>
    act.run(async () => {
      await client.send('DELETE', `/endpoints/${endpoint.id}`);
      onClose();
      onGone();
    });
  return (
    <Dialog title={`Delete ${endpoint.name}?`} onClose={onClose}>
      <p>
        Nothing more is sent to it, and its secret is void.{' '}
        {endpoint.waiting > 0 ? (
          <Counted count={endpoint.waiting} one="delivery that waits is dropped." many="deliveries that wait are dropped." />
        ) : (
          'Nothing waits for it.'
        )}{' '}
        This cannot be undone.
      </p>
      {act.error ? <Trouble error={act.error} /> : null}
      <p className="plp-row">
        <button type="button" className="plp-button plp-danger" aria-disabled={act.busy} onClick={remove}>
          Delete
        </button>
        <button type="button" className="plp-button" onClick={onClose}>
          Cancel
        </button>
      </p>
    </Dialog>
  );
}
