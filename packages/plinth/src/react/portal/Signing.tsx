import { type ReactNode, useState } from 'react';
import { useAct } from './asking.ts';
import type { Endpoint } from './client.ts';
import { Code, Copy, Dialog, Field, Trouble } from './parts.tsx';
import { usePortal } from './portal-context.tsx';
import { SecretOnce } from './SecretOnce.tsx';

const OVERLAPS = [
  [86_400, 'for 24 hours'],
  [3600, 'for an hour'],
  [604_800, 'for 7 days'],
  [0, 'not at all'],
] as const;

/** How requests to the endpoint are signed: secret, public keys, and changing either. */
export function Signing({ endpoint, onChanged }: { endpoint: Endpoint; onChanged: () => void }): ReactNode {
  const { client, canManage, session } = usePortal();
  const [rotating, setRotating] = useState<'secret' | 'key'>();
  const [secret, setSecret] = useState<{ secret: string | null }>();
  const hasKey = endpoint.signing === 'v1a' || endpoint.signing === 'both';
  const hasSecret = endpoint.signing !== 'v1a';
  const keys = `${client.baseUrl || location.origin}/api/v1/webhooks/jwks/${session.tenant_id}/${endpoint.id}`;
  return (
    <>
      <h3>Signing</h3>
      {hasSecret ? <p>Requests are signed with a secret, which was shown when it was made. Rotate it to get another.</p> : null}
      {hasKey ? (
        <>
          <p>Requests are signed with a private key; the public ones, newest first, are also a JWK set.</p>
          {endpoint.public_keys.map((key) => (
            <Code key={key} label="Public key">
              {key}
            </Code>
          ))}
          <p className="plp-row">
            <a className="plp-link plp-break" href={keys} target="_blank" rel="noreferrer">
              {keys}
            </a>
            <Copy text={keys} label="Copy the address" />
          </p>
        </>
      ) : null}
      {canManage ? (
        <p className="plp-row">
          {hasSecret ? (
            <button type="button" className="plp-button" onClick={() => setRotating('secret')}>
              Rotate the secret…
            </button>
          ) : null}
          {hasKey ? (
            <button type="button" className="plp-button" onClick={() => setRotating('key')}>
              Rotate the key…
            </button>
          ) : null}
        </p>
      ) : null}
      {rotating ? <Rotation endpoint={endpoint} of={rotating} onClose={() => setRotating(undefined)} onSecret={setSecret} onChanged={onChanged} /> : null}
      {secret ? <SecretOnce secret={secret.secret} onClose={() => setSecret(undefined)} /> : null}
    </>
  );
}

interface RotationProps {
  endpoint: Endpoint;
  of: 'secret' | 'key';
  onClose: () => void;
  onSecret: (made: { secret: string | null }) => void;
  onChanged: () => void;
}

function Rotation({ endpoint, of, onClose, onSecret, onChanged }: RotationProps): ReactNode {
  const { client } = usePortal();
  const act = useAct();
  const [overlap, setOverlap] = useState('86400');
  const rotate = (): void =>
    act.run(async () => {
      const made = await client.send<{ secret?: string | null }>('POST', `/endpoints/${endpoint.id}/rotate-${of}`, { overlap_seconds: Number(overlap) });
      onClose();
      if (of === 'secret') onSecret({ secret: made.secret ?? null });
      onChanged();
    });
  return (
    <Dialog title={of === 'secret' ? 'Rotate the secret' : 'Rotate the key'} onClose={onClose}>
      <p>A new one is made at once. Meanwhile the old one signs too, so that the receiver can change over.</p>
      <Field label="The old one signs too">
        {(tied) => (
          <select {...tied} className="plp-input" value={overlap} onChange={(event) => setOverlap(event.target.value)}>
            {OVERLAPS.map(([seconds, label]) => (
              <option key={seconds} value={seconds}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Field>
      {act.error ? <Trouble error={act.error} /> : null}
      <p className="plp-row">
        <button type="button" className="plp-button plp-main" aria-disabled={act.busy} onClick={rotate}>
          Rotate
        </button>
        <button type="button" className="plp-button" onClick={onClose}>
          Cancel
        </button>
      </p>
    </Dialog>
  );
}
