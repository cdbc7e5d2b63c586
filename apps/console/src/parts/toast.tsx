import { createContext, type ReactNode, use, useCallback, useEffect, useState } from 'react';
import { Icon } from './icons.tsx';

/** One short sentence about what just happened, said to screen readers too. */
export interface Toast {
  text: ReactNode;
  bad?: boolean;
}

const ToastContext = createContext<(toast: Toast) => void>(() => {});
export const useToast = (): ((toast: Toast) => void) => use(ToastContext);

const shownMs = 6_000;

export function ToastProvider({ children }: { children: ReactNode }): ReactNode {
  const [toast, setToast] = useState<Toast | undefined>();
  const show = useCallback((next: Toast) => setToast({ ...next }), []);
  useEffect(() => {
    // A failure stays until it was read.
    if (!toast || toast.bad) return undefined;
    const timer = setTimeout(() => setToast(undefined), shownMs);
    return () => clearTimeout(timer);
  }, [toast]);
  return (
    <ToastContext value={show}>
      {children}
      <output className="pointer-events-none fixed inset-x-0 bottom-4 z-50 flex justify-center px-4">
        {toast ? (
          <div
            className={`card pointer-events-auto flex max-w-lg items-start gap-2 py-2 pr-1.5 pl-3 shadow-lg ${toast.bad ? 'border-bad' : 'border-line-strong'}`}
          >
            <span className={`pt-1 ${toast.bad ? 'text-bad' : 'text-ok'}`}>
              <Icon name={toast.bad ? 'alert' : 'check'} />
            </span>
            <span className="py-0.5">{toast.text}</span>
            <button
              type="button"
              aria-label="Close"
              className="inline-flex size-6 items-center justify-center rounded text-soft hover:bg-sunken"
              onClick={() => setToast(undefined)}
            >
              <Icon name="close" />
            </button>
          </div>
        ) : null}
      </output>
    </ToastContext>
  );
}
