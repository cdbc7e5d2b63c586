import { type ReactNode, useEffect, useState } from 'react';
import type { Replay } from './client.ts';
import { Badge, Dialog, Field, More, Trouble } from './parts.tsx';
import { useAct, usePages, usePortal } from './portal-context.tsx';
import { isoOf } from './ResumeForm.tsx';

const LOOK_AGAIN_MS = 2_000;

/** What was sent again to an endpoint, how far it is, and a form to send more. */
export function ReplayList({ endpointId, onStarted }: { endpointId: string; onStarted: () => void }): ReactNode {
  const { canManage } = usePortal();
  const { rows, error, busy, more, reload } = usePages<Replay>(`/endpoints/${endpointId}/replays?limit=5`, 'replays');
  const [asking, setAsking] = useState(false);
  const running = rows?.some((replay) => replay.status === 'running') ?? false;
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(reload, LOOK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [running, reload]);
  const started = (): void => {
    setAsking(false);
    reload();
    onStarted();
  };
  return (
    <>
      <div className="plp-head">
        <h3>Sent again</h3>
        {canManage ? (
          <button type="button" className="plp-button" onClick={() => setAsking(true)}>
            Send again…
          </button>
        ) : null}
      </div>
      {error ? <Trouble error={error} retry={reload} /> : null}
      {rows?.length === 0 ? <p className="plp-soft">Nothing was sent again.</p> : null}
      <ul className="plp-plain">
        {rows?.map((replay) => (
          <ReplayLine key={replay.id} replay={replay} onChanged={reload} />
        ))}
      </ul>
      <More more={more} busy={busy} />
      {asking ? <ReplayForm endpointId={endpointId} onClose={() => setAsking(false)} onStarted={started} /> : null}
    </>
  );
}

const TONES = { running: 'warn', done: 'ok', failed: 'bad', cancelled: 'plain' } as const;

function ReplayLine({ replay, onChanged }: { replay: Replay; onChanged: () => void }): ReactNode {
  const { client, canManage, time } = usePortal();
  const act = useAct();
  const what = replay.only_failed ? 'What was given up' : replay.since ? `Everything since ${time(replay.since)}` : 'Chosen events';
  const cancel = (): void =>
    act.run(async () => {
      await client.send('POST', `/replays/${replay.id}/cancel`);
      onChanged();
    });
  return (
    <li className="plp-row">
      <Badge tone={TONES[replay.status]}>{replay.status}</Badge>
      <span>{what}</span>
      {replay.status === 'running' ? <progress aria-label="Progress of the replay" max={Math.max(replay.total, 1)} value={replay.added} /> : null}
      <span className="plp-soft">
        {replay.added} of {replay.total}
        {replay.left_out > 0 ? ` (${replay.left_out} wait anyway or are filtered out)` : ''}, {time(replay.created_at)}
      </span>
      {canManage && replay.status === 'running' ? (
        <button type="button" className="plp-button" disabled={act.busy} onClick={cancel}>
          Cancel
        </button>
      ) : null}
      {act.error ? <Trouble error={act.error} /> : null}
    </li>
  );
}

function ReplayForm({ endpointId, onClose, onStarted }: { endpointId: string; onClose: () => void; onStarted: () => void }): ReactNode {
  const { client } = usePortal();
  const act = useAct();
  const [onlyFailed, setOnlyFailed] = useState(true);
  const [since, setSince] = useState('');
  const [total, setTotal] = useState<number>();
  const body = { only_failed: onlyFailed, ...(since === '' ? {} : { since: isoOf(since) }) };
  const count = (): void =>
    act.run(async () => setTotal((await client.send<{ total: number }>('POST', `/endpoints/${endpointId}/replays/preview`, body)).total));
  const start = (): void =>
    act.run(async () => {
      await client.send('POST', `/endpoints/${endpointId}/replays`, body);
      onStarted();
    });
  const choose = (failed: boolean): void => {
    setOnlyFailed(failed);
    setTotal(undefined);
  };
  return (
    <Dialog title="Send again" onClose={onClose}>
      <fieldset className="plp-choices">
        <legend>What</legend>
        <label className="plp-choice">
          <input type="radio" name="what" checked={onlyFailed} onChange={() => choose(true)} />
          <span>Only what was given up</span>
        </label>
        <label className="plp-choice">
          <input type="radio" name="what" checked={!onlyFailed} onChange={() => choose(false)} />
          <span>Every event, also what arrived</span>
        </label>
      </fieldset>
      <Field label="Since" hint={onlyFailed ? 'Left out: all that is still kept.' : 'Needed. What was sent before has its webhook-id again.'}>
        {(id, hint) => (
          <input
            id={id}
            aria-describedby={hint}
            className="plp-input"
            type="datetime-local"
            value={since}
            onChange={(event) => {
              setSince(event.target.value);
              setTotal(undefined);
            }}
          />
        )}
      </Field>
      <output>{total === undefined ? '' : total === 0 ? 'There is nothing to send.' : `${total} would be sent.`}</output>
      {act.error ? <Trouble error={act.error} /> : null}
      <p className="plp-row">
        <button type="button" className="plp-button" disabled={act.busy || (!onlyFailed && since === '')} onClick={count}>
          Count
        </button>
        <button type="button" className="plp-button plp-main" disabled={act.busy || !total} onClick={start}>
          Send again
        </button>
        <button type="button" className="plp-button" onClick={onClose}>
          Close
        </button>
      </p>
    </Dialog>
  );
}
