import { type ReactNode, type SubmitEvent, useState } from 'react';
import { useAct } from './asking.ts';
import { type Endpoint, problemOf } from './client.ts';
import { isoOf, localOf } from './local-time.ts';
import { Dialog, Field, Trouble } from './parts.tsx';
import { usePortal } from './portal-context.tsx';

function modesFor(waiting: number): [mode: string, label: string][] {
  const what = waiting === 0 ? 'what waits' : waiting === 1 ? 'the 1 that waits' : `the ${waiting > 1000 ? 'more than 1,000' : waiting} that wait`;
  return [
    ['continue', `Go on with ${what}`],
    ['skip', `Drop ${what}, go on with what is new`],
    ['replay', 'Go on, and send every event since a time again'],
  ];
}

/** What the server did, in a sentence. */
const sentenceOf = ({ waiting, dropped }: { waiting: number; dropped: number }): string =>
  `Resumed. ${dropped > 0 ? `${dropped} dropped, ` : ''}${waiting} to be sent.`;

/** How an endpoint that is disabled or failing goes on. */
export function ResumeForm({ endpoint, onClose, onResumed }: { endpoint: Endpoint; onClose: () => void; onResumed: (sentence: string) => void }): ReactNode {
  const { client } = usePortal();
  const act = useAct();
  const [mode, setMode] = useState<string>('continue');
  // What was missed begins there.
  const [since, setSince] = useState(localOf(endpoint.disabled_at ?? endpoint.failing_since));
  const resume = (event: SubmitEvent): void => {
    event.preventDefault();
    act.run(async () => {
      const done = await client.send<{ waiting: number; dropped: number }>('POST', `/endpoints/${endpoint.id}/resume`, {
        mode,
        ...(mode === 'replay' ? { since: isoOf(since) } : {}),
      });
      onClose();
      onResumed(sentenceOf(done));
    });
  };
  return (
    <Dialog title={`Resume ${endpoint.name}`} onClose={onClose}>
      <form onSubmit={resume} className="plp-form">
        <fieldset className="plp-choices">
          <legend>How it goes on</legend>
          {modesFor(endpoint.waiting).map(([value, label]) => (
            <label key={value} className="plp-choice">
              <input type="radio" name="mode" value={value} checked={mode === value} onChange={() => setMode(value)} />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
        {mode === 'replay' ? (
          <Field label="Since" refused={act.error ? problemOf(act.error).code === 'webhooks_replay_invalid' : false}>
            {(tied) => (
              <input {...tied} className="plp-input" type="datetime-local" required value={since} onChange={(event) => setSince(event.target.value)} />
            )}
          </Field>
        ) : null}
        {act.error ? <Trouble error={act.error} /> : null}
        <p className="plp-row">
          <button type="submit" className="plp-button plp-main" aria-disabled={act.busy}>
            Resume
          </button>
          <button type="button" className="plp-button" onClick={onClose}>
            Cancel
          </button>
        </p>
      </form>
    </Dialog>
  );
}
