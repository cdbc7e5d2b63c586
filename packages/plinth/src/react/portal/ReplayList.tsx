import { type ReactNode, useEffect, useState } from 'react';
import { useAct, usePages } from './asking.ts';
import type { Replay } from './client.ts';
import { Badge, More, Trouble } from './parts.tsx';
import { usePortal } from './portal-context.tsx';
import { ReplayForm } from './ReplayForm.tsx';

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
      <ul className="plp-list">
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
  const range = `${replay.since ? ` since ${time(replay.since)}` : ''}${replay.until ? ` until ${time(replay.until)}` : ''}`;
  const what = replay.asked_ids === null ? `${replay.only_failed ? 'What was given up' : 'Everything'}${range}` : `${replay.asked_ids} by id`;
  const cancel = (): void =>
    act.run(async () => {
      await client.send('POST', `/replays/${replay.id}/cancel`);
      onChanged();
    });
  return (
    <li className="plp-row">
      <Badge tone={TONES[replay.status]}>{replay.status}</Badge>
      <span>
        {what}
        {replay.patterns ? `: ${replay.patterns.join(', ')}` : ''}
      </span>
      {replay.status === 'running' ? <progress aria-label="Progress of the replay" max={Math.max(replay.total, 1)} value={replay.added} /> : null}
      <span className="plp-soft">
        {replay.added} of {replay.total}
        {replay.rate_per_second ? `, ${replay.rate_per_second} a second` : ''}
        {replay.left_out > 0 ? ` (${replay.left_out} wait anyway or are filtered out)` : ''}, {time(replay.created_at)}
      </span>
      {canManage && replay.status === 'running' ? (
        <button type="button" className="plp-button" aria-disabled={act.busy} onClick={cancel}>
          Cancel
        </button>
      ) : null}
      {act.error ? <Trouble error={act.error} /> : null}
    </li>
  );
}
