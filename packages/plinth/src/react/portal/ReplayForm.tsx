import { type ReactNode, type SubmitEvent, useState } from 'react';
import { useAct } from './asking.ts';
import { problemOf } from './client.ts';
import { isoOf } from './local-time.ts';
import { Dialog, Field, Trouble } from './parts.tsx';
import { usePortal } from './portal-context.tsx';

type What = 'failed' | 'all' | 'ids';

interface Wish {
  what: What;
  since: string;
  until: string;
  types: string;
  ids: string;
  rate: string;
}

const WHAT: readonly (readonly [What, string])[] = [
  ['failed', 'Only what was given up'],
  ['all', 'Every event, also what arrived'],
  ['ids', 'Some, by their ids'],
];

const listOf = (text: string): string[] => text.split(/[\s,]+/).filter((one) => one !== '');

/** What the API is asked for. What the form does not show is not meant. */
function bodyOf({ what, since, until, types, ids }: Wish): Record<string, unknown> {
  if (what === 'ids') return { ids: listOf(ids) };
  return {
    only_failed: what === 'failed',
    ...(since === '' ? {} : { since: isoOf(since) }),
    ...(until === '' ? {} : { until: isoOf(until) }),
    ...(listOf(types).length === 0 ? {} : { patterns: listOf(types) }),
  };
}

const isComplete = ({ what, since, ids }: Wish): boolean => (what === 'all' ? since !== '' : what === 'failed' || listOf(ids).length > 0);

/** Asks what is to be sent again, says how much that is, and begins. */
export function ReplayForm({ endpointId, onClose, onStarted }: { endpointId: string; onClose: () => void; onStarted: () => void }): ReactNode {
  const { client } = usePortal();
  const act = useAct();
  const [wish, setWish] = useState<Wish>({ what: 'failed', since: '', until: '', types: '', ids: '', rate: '' });
  const [total, setTotal] = useState<number>();
  const change = (part: Partial<Wish>): void => {
    setWish({ ...wish, ...part });
    // The rate does not change what is sent.
    if (part.rate === undefined) setTotal(undefined);
  };
  const count = (event: SubmitEvent): void => {
    event.preventDefault();
    act.run(async () => setTotal((await client.send<{ total: number }>('POST', `/endpoints/${endpointId}/replays/preview`, bodyOf(wish))).total));
  };
  const start = (): void =>
    act.run(async () => {
      const rate = wish.rate === '' ? {} : { rate_per_second: Number(wish.rate) };
      await client.send('POST', `/endpoints/${endpointId}/replays`, { ...bodyOf(wish), ...rate });
      onStarted();
    });
  const refused = act.error ? refusedOf(act.error, wish) : [];
  return (
    <Dialog title="Send again" onClose={onClose}>
      <form onSubmit={count} className="plp-form">
        <fieldset className="plp-choices">
          <legend>What</legend>
          {WHAT.map(([what, label]) => (
            <label key={what} className="plp-choice">
              <input type="radio" name="what" checked={wish.what === what} onChange={() => change({ what })} />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
        {wish.what === 'ids' ? <IdsField wish={wish} onChange={change} refused={refused} /> : <RangeFields wish={wish} onChange={change} refused={refused} />}
        <Text
          label="At most so many a second"
          hint="Left out: as fast as it goes."
          type="number"
          value={wish.rate}
          refused={refused.includes('rate_per_second')}
          onChange={(rate) => change({ rate })}
        />
        <output>{total === undefined ? '' : total === 0 ? 'There is nothing to send.' : `${total} would be sent.`}</output>
        {act.error ? <Trouble error={act.error} /> : null}
        <p className="plp-row">
          <button type="submit" className="plp-button" aria-disabled={act.busy} disabled={!isComplete(wish)}>
            Count
          </button>
          <button type="button" className="plp-button plp-main" aria-disabled={act.busy} disabled={!total} onClick={start}>
            Send again
          </button>
          <button type="button" className="plp-button" onClick={onClose}>
            Close
          </button>
        </p>
      </form>
    </Dialog>
  );
}

/** What can be wrong in itself with ids is that they are unknown, with a range that it ends before it begins. */
function refusedOf(error: unknown, { what }: Wish): readonly string[] {
  const { code, fields } = problemOf(error);
  return code === 'webhooks_replay_invalid' ? [...fields, what === 'ids' ? 'ids' : 'since'] : fields;
}

interface PartProps {
  wish: Wish;
  onChange: (part: Partial<Wish>) => void;
  /** Names of fields that were refused. */
  refused: readonly string[];
}

function RangeFields({ wish, onChange, refused }: PartProps): ReactNode {
  const needed = wish.what === 'all' ? 'Needed. What was sent before has its webhook-id again.' : 'Left out: all that is still kept.';
  return (
    <>
      <Text
        label="Since"
        hint={needed}
        type="datetime-local"
        value={wish.since}
        refused={refused.includes('since')}
        onChange={(since) => onChange({ since })}
      />
      <Text
        label="Until"
        hint="Left out: now."
        type="datetime-local"
        value={wish.until}
        refused={refused.includes('until')}
        onChange={(until) => onChange({ until })}
      />
      <Text
        label="Types"
        hint="Such as order.paid, or order.* for all of one more word. Left out: all that the endpoint gets."
        type="text"
        value={wish.types}
        refused={refused.includes('patterns')}
        onChange={(types) => onChange({ types })}
      />
    </>
  );
}

function IdsField({ wish, onChange, refused }: PartProps): ReactNode {
  return (
    <Field label="Ids" hint="Of events or webhook-ids, at most 1,000, with blanks, commas or lines between." refused={refused.includes('ids')}>
      {(tied) => <textarea {...tied} className="plp-input" rows={4} value={wish.ids} onChange={(event) => onChange({ ids: event.target.value })} />}
    </Field>
  );
}

interface TextProps {
  label: string;
  hint: string;
  type: 'text' | 'number' | 'datetime-local';
  value: string;
  refused: boolean;
  onChange: (value: string) => void;
}

function Text({ label, hint, type, value, refused, onChange }: TextProps): ReactNode {
  const bounds = type === 'number' ? { min: 0.1, max: 100_000, step: 'any' } : {};
  return (
    <Field label={label} hint={hint} refused={refused}>
      {(tied) => <input {...tied} className="plp-input" type={type} {...bounds} value={value} onChange={(event) => onChange(event.target.value)} />}
    </Field>
  );
}
