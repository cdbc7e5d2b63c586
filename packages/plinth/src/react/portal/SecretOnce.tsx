import type { ReactNode } from 'react';
import { Code, Copy, Dialog } from './parts.tsx';

/** A secret that was made a moment ago and cannot be asked for again. */
export function SecretOnce({ secret, onClose }: { secret: string | null; onClose: () => void }): ReactNode {
  return (
    <Dialog title="Signing secret" onClose={onClose} stays={secret !== null}>
      <p>Store it now: it is not shown again. The receiver verifies every request with it.</p>
      <Code label="Signing secret">{secret ?? 'It was told before, and is told once only. Rotate it to get another.'}</Code>
      <p className="plp-row">
        {secret ? <Copy text={secret} label="Copy" /> : null}
        <button type="button" className="plp-button plp-main" onClick={onClose}>
          I have stored it
        </button>
      </p>
    </Dialog>
  );
}
