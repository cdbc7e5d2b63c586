import { type ReactNode, type SubmitEvent, useState } from 'react';
import { useAct, usePages } from './asking.ts';
import { type ChangedEndpoint, type Endpoint, type EventType, problemOf } from './client.ts';
import { Busy, Counted, Dialog, Empty, Field, Trouble } from './parts.tsx';
import { usePortal } from './portal-context.tsx';
import { SecretOnce } from './SecretOnce.tsx';

interface EndpointFormProps {
  /** The endpoint to change; without one, a new one is made. */
  endpoint?: Endpoint;
  onClose: () => void;
  /** With what became of it, when one was changed. */
  onSaved: (changed?: ChangedEndpoint) => void;
  /** A new one was made and its secret was seen. */
  onMade?: (id: string) => void;
}

interface Values {
  name: string;
  url: string;
  description: string;
  signing: string;
  types: ReadonlySet<string>;
}

const sameTypes = (chosen: ReadonlySet<string>, before: readonly string[]): boolean =>
  chosen.size === before.length && before.every((type) => chosen.has(type));

/** What is to be sent: of an endpoint that is changed, only what differs. */
function changes(values: Values, endpoint: Endpoint | undefined): Record<string, unknown> {
  const { name, url, description, signing } = values;
  const all = { name, url, description, signing, event_types: [...values.types] };
  if (!endpoint) return all;
  const same: Record<string, boolean> = {
    name: name === endpoint.name,
    url: url === (endpoint.url ?? ''),
    description: description === (endpoint.description ?? ''),
    signing: signing === endpoint.signing,
    // Patterns that the operator gave stay until others are chosen.
    event_types: sameTypes(values.types, endpoint.patterns),
  };
  return Object.fromEntries(Object.entries(all).filter(([field]) => !same[field]));
}

/** Makes an endpoint, or changes one. A secret that was made for it is shown once. */
export function EndpointForm({ endpoint, onClose, onSaved, onMade }: EndpointFormProps): ReactNode {
  const { client } = usePortal();
  const act = useAct();
  const [made, setMade] = useState<{ id: string; secret: string | null }>();
  const [asking, setAsking] = useState(false);
  const [values, setValues] = useState<Values>({
    name: endpoint?.name ?? '',
    url: endpoint ? (endpoint.url ?? '') : 'https://',
    description: endpoint?.description ?? '',
    signing: endpoint?.signing ?? 'v1',
    types: new Set(endpoint?.patterns),
  });
  const save = (event: SubmitEvent): void => {
    event.preventDefault();
    const body = changes(values, endpoint);
    if (endpoint && !endpoint.public_only && !asking && (body.url !== undefined || body.event_types !== undefined)) {
      setAsking(true);
      return;
    }
    act.run(async () => {
      if (!endpoint) {
        setMade(await client.send<{ id: string; secret: string | null }>('POST', '/endpoints', body));
        onSaved();
        return;
      }
      const changed = await client.send<ChangedEndpoint>('PATCH', `/endpoints/${endpoint.id}`, body);
      if (changed.secret) setMade(changed);
      else onClose();
      onSaved(changed);
    });
  };
  const seen = (): void => {
    onClose();
    if (made) onMade?.(made.id);
  };
  const refused = act.error ? problemOf(act.error).fields : [];
  if (made) return <SecretOnce secret={made.secret} onClose={seen} />;
  return (
    <Dialog title={endpoint ? 'Change the endpoint' : 'Add an endpoint'} onClose={onClose}>
      <form onSubmit={save} className="plp-form">
        <TextFields values={values} onChange={setValues} refused={refused} legacy={endpoint?.signing} pulled={endpoint?.url === null} />
        <TypeChoice values={values} before={endpoint?.patterns ?? []} onChange={setValues} refused={refused} />
        {endpoint && asking ? <Narrowing waiting={endpoint.waiting_internal} /> : null}
        {act.error ? <Trouble error={act.error} /> : null}
        <p className="plp-row">
          <button type="submit" className="plp-button plp-main" aria-disabled={act.busy} disabled={values.types.size === 0}>
            {endpoint ? (asking ? 'Save all the same' : 'Save') : 'Add'}
          </button>
          <button type="button" className="plp-button" onClick={onClose}>
            Cancel
          </button>
        </p>
      </form>
    </Dialog>
  );
}

/** Said before an endpoint that its operator made is sent elsewhere: nothing internal goes with it. */
function Narrowing({ waiting }: { waiting: number }): ReactNode {
  return (
    <div role="alert" className="plp-trouble">
      <p className="plp-strong">From now on this endpoint gets public event types only.</p>
      {waiting > 0 ? (
        <p>
          <Counted count={waiting} one="waiting delivery of a type that is not public" many="waiting deliveries of types that are not public" /> will not be
          sent. Whoever sent you here can send them.
        </p>
      ) : null}
    </div>
  );
}

const WAYS = [
  ['v1', 'Secret (Standard Webhooks v1)'],
  ['v1a', 'Public key (Standard Webhooks v1a, ed25519)'],
  ['both', 'Both'],
] as const;

interface PartProps {
  values: Values;
  onChange: (values: Values) => void;
  /** Names of fields that were refused. */
  refused: readonly string[];
}

function TextFields({ values, onChange, refused, legacy, pulled }: PartProps & { legacy: string | undefined; pulled: boolean }): ReactNode {
  const set = (field: keyof Values) => (event: { target: { value: string } }) => onChange({ ...values, [field]: event.target.value });
  const ways = legacy && !WAYS.some(([way]) => way === legacy) ? [...WAYS, [legacy, `As it is: ${legacy}`] as const] : WAYS;
  return (
    <>
      <Field label="Name" refused={refused.includes('name')}>
        {(tied) => <input {...tied} className="plp-input" required maxLength={200} value={values.name} onChange={set('name')} />}
      </Field>
      {pulled ? null : (
        <Field label="URL" hint="A public https address that answers with 2xx within 15 seconds." refused={refused.includes('url')}>
          {(tied) => <input {...tied} className="plp-input" type="url" required maxLength={2000} value={values.url} onChange={set('url')} />}
        </Field>
      )}
      <Field label="Description" refused={refused.includes('description')}>
        {(tied) => <input {...tied} className="plp-input" maxLength={2000} value={values.description} onChange={set('description')} />}
      </Field>
      <Field label="Signed by">
        {(tied) => (
          <select {...tied} className="plp-input" value={values.signing} onChange={set('signing')}>
            {ways.map(([way, label]) => (
              <option key={way} value={way}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Field>
    </>
  );
}

function TypeChoice({ values, before, onChange, refused }: PartProps & { before: readonly string[] }): ReactNode {
  const { rows, error, more, reload } = usePages<EventType>('/event-types?limit=200', 'types');
  const toggle = (name: string): void => {
    const types = new Set(values.types);
    if (!types.delete(name)) types.add(name);
    onChange({ ...values, types });
  };
  const shown = rows?.map(({ name }) => name) ?? [];
  // Also those that were just unticked.
  const kept = [...new Set([...before, ...values.types])].filter((type) => !shown.includes(type));
  return (
    <fieldset className="plp-choices">
      <legend>Events</legend>
      {values.types.size === 0 && rows && rows.length > 0 ? <p className="plp-soft">Choose at least one.</p> : null}
      {error ? <Trouble error={error} retry={reload} /> : null}
      {!rows && !error ? <Busy /> : null}
      {rows?.length === 0 && kept.length === 0 ? <Empty>No event types have been published yet. Ask whoever sent you here.</Empty> : null}
      {[...kept, ...shown].map((name) => (
        <label key={name} className="plp-choice">
          <input
            type="checkbox"
            aria-invalid={(refused.includes('event_types') && values.types.has(name)) || undefined}
            checked={values.types.has(name)}
            onChange={() => toggle(name)}
          />
          <span>
            {name}
            <TypeNote type={rows?.find((type) => type.name === name)} />
          </span>
        </label>
      ))}
      {more ? (
        <button type="button" className="plp-button" onClick={more}>
          Show more types
        </button>
      ) : null}
    </fieldset>
  );
}

/** What helps to choose: also that a type is going away, and what comes instead. */
function TypeNote({ type }: { type: EventType | undefined }): ReactNode {
  if (!type) return null;
  return (
    <span className="plp-soft">
      {type.deprecated_at ? ` Deprecated${type.successor ? `: use ${type.successor}` : ''}.` : ''} {type.description ?? ''}
    </span>
  );
}
