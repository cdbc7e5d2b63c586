import { type ReactNode, useEffect, useId, useRef } from 'react';
import { Icon } from './icons.tsx';

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ReactNode;
  className?: string;
  /** The title is read but not seen, and there is no close button: for the find box. */
  bare?: boolean;
  /** A click beside it does not close it: what was typed would be lost. */
  keeps?: boolean;
}

/** The browser's own modal dialog: focus stays in, Escape and (where browsers know closedby) a click outside close it, focus returns to where it was. */
export function Dialog({ title, onClose, children, className = 'w-[min(28rem,calc(100vw-2rem))]', bare = false, keeps = false }: DialogProps): ReactNode {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog?.showModal();
    return () => {
      dialog?.close();
      // Where nothing had it the page itself is the place, and not the link that skips to it, which would show up.
      const place = before === document.body ? document.getElementById('main') : before;
      if (place instanceof HTMLElement) place.focus({ preventScroll: true });
    };
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby={titleId}
      closedby={keeps ? 'closerequest' : 'any'}
      className={`card border-line-strong shadow-2xl ${className}`}
      onClose={onClose}
    >
      {bare ? (
        <h2 id={titleId} className="sr-only">
          {title}
        </h2>
      ) : (
        <div className="flex items-center justify-between gap-4 border-b border-line py-2 pr-2 pl-4">
          <h2 id={titleId} className="text-sm font-semibold">
            {title}
          </h2>
          <button type="button" aria-label="Close" className="btn btn-quiet size-7 min-h-0 p-0" onClick={onClose}>
            <Icon name="close" />
          </button>
        </div>
      )}
      {children}
    </dialog>
  );
}
