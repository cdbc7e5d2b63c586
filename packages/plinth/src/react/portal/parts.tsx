/** Small things that every part of the portal is made of. */
import { createContext, type ReactNode, type RefObject, type SyntheticEvent, use, useEffect, useId, useRef, useState } from 'react';
import { problemOf } from './client.ts';

export function Busy(): ReactNode {
  return <output className="plp-soft">Loading…</output>;
}

export function Trouble({ error, retry }: { error: unknown; retry?: (() => void) | undefined }): ReactNode {
  const problem = problemOf(error);
  return (
    <div role="alert" className="plp-trouble">
      <p className="plp-strong">{problem.message}</p>
      <p>{problem.wayOut}</p>
      <p className="plp-row">
        {retry ? (
          <button type="button" className="plp-button" onClick={retry}>
            Try again
          </button>
        ) : null}
        <code className="plp-soft">{problem.code}</code>
      </p>
    </div>
  );
}

export function Empty({ children }: { children: ReactNode }): ReactNode {
  return <div className="plp-empty">{children}</div>;
}

export function Badge({ tone, children }: { tone: 'ok' | 'bad' | 'warn' | 'plain'; children: ReactNode }): ReactNode {
  return <span className={`plp-badge plp-${tone}`}>{children}</span>;
}

/** What a count that stops at 1,001 says. */
export function Counted({ count, one, many }: { count: number; one: string; many: string }): ReactNode {
  return `${count > 1000 ? 'More than 1,000' : count} ${count === 1 ? one : many}`;
}

/** What comes after the rows of a list: more of them, or why there are none. */
export function More({ more, busy }: { more: (() => void) | undefined; busy: boolean }): ReactNode {
  if (!more) return null;
  return (
    <p>
      <button type="button" className="plp-button" aria-disabled={busy} onClick={more}>
        Show more
      </button>
    </p>
  );
}

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
  /** Neither Escape nor a cross closes it: what it shows is not shown again. */
  stays?: boolean;
}

/** The browser's own modal dialog: focus stays in and returns, Escape closes. */
export function Dialog({ title, onClose, children, wide = false, stays = false }: DialogProps): ReactNode {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  // In strict mode effects run twice: the close of the first is told when the dialog is open again, and means nothing.
  const closed = (): void => {
    if (ref.current?.open) return;
    // Chromium closes at the second Escape, whatever the first was answered.
    if (stays) ref.current?.showModal();
    else onClose();
  };
  const cancelled = (event: SyntheticEvent): void => {
    if (stays) event.preventDefault();
  };
  return (
    <dialog ref={ref} aria-labelledby={titleId} className={wide ? 'plp-dialog plp-wide' : 'plp-dialog'} onCancel={cancelled} onClose={closed}>
      <div className="plp-head">
        <h2 id={titleId}>{title}</h2>
        {stays ? null : (
          <button type="button" className="plp-button plp-quiet" aria-label="Close" onClick={onClose}>
            ×
          </button>
        )}
      </div>
      {children}
    </dialog>
  );
}

export function Copy({ text, label }: { text: string; label: string }): ReactNode {
  const [told, setTold] = useState('');
  const copy = async (): Promise<void> => {
    try {
      // There is no clipboard without TLS.
      await navigator.clipboard.writeText(text);
      setTold('Copied');
    } catch {
      setTold('Select it and copy it by hand');
    }
  };
  return (
    <>
      <button type="button" className="plp-button" onClick={copy}>
        {label}
      </button>
      <output className="plp-soft">{told}</output>
    </>
  );
}

/** Lines break and nothing scrolls inside, so that whoever reads by keyboard need not stop here. */
export function Code({ label, children }: { label: string; children: string }): ReactNode {
  return (
    <>
      <p className="plp-soft plp-label">{label}</p>
      <pre className="plp-code">{children}</pre>
    </>
  );
}

/** True once somebody has been in the portal. */
export const UsedContext = createContext<RefObject<boolean>>({ current: true });

/** A heading that takes the focus when its page is shown, so that a keyboard or a screen reader is where the eye is. */
export function Title({ children }: { children: ReactNode }): ReactNode {
  const ref = useRef<HTMLHeadingElement>(null);
  const used = use(UsedContext);
  useEffect(() => {
    if (used.current) ref.current?.focus();
  }, [used]);
  return (
    <h2 ref={ref} tabIndex={-1} className="plp-title">
      {children}
    </h2>
  );
}

interface FieldProps {
  label: string;
  hint?: string;
  /** What was sent of it was refused; why stands in the form's alert. */
  refused?: boolean | undefined;
  /** The control, given what ties it to its label and hint. */
  children: (tied: { id: string; 'aria-describedby': string | undefined; 'aria-invalid': true | undefined }) => ReactNode;
}

export function Field({ label, hint, refused, children }: FieldProps): ReactNode {
  const id = useId();
  const hintId = `${id}-hint`;
  return (
    <div className="plp-field">
      <label htmlFor={id}>{label}</label>
      {children({ id, 'aria-describedby': hint ? hintId : undefined, 'aria-invalid': refused || undefined })}
      {hint ? (
        <p id={hintId} className="plp-soft">
          {hint}
        </p>
      ) : null}
    </div>
  );
}
