import { createContext, type ReactNode, use, useCallback, useMemo, useState } from 'react';
import { useAway } from './away.tsx';
import { Icon } from './parts/icons.tsx';
import { useShortcut } from './shortcuts.ts';
import { store, stored } from './storage.ts';

const LiveContext = createContext<{ live: boolean; toggle: () => void }>({ live: true, toggle: () => {} });

/** Whether pages ask again by themselves. A tab that nobody looks at never does, nor one that is not `on`. */
export function LiveProvider({ on, children }: { on: boolean; children: ReactNode }): ReactNode {
  const [live, setLive] = useState(() => stored('live') !== 'off');
  const toggle = useCallback(() => {
    setLive((before) => {
      store('live', before ? 'off' : undefined);
      return !before;
    });
  }, []);
  useShortcut('l', toggle);
  const value = useMemo(() => ({ live: live && on, toggle }), [live, on, toggle]);
  return <LiveContext value={value}>{children}</LiveContext>;
}

/** `everyMs` when live, else false: what a query's refetchInterval wants. */
export const useLiveEvery = (everyMs: number): number | false => (use(LiveContext).live ? everyMs : false);

export function LiveSwitch(): ReactNode {
  const { live, toggle } = use(LiveContext);
  const away = useAway() !== undefined;
  return (
    <button
      type="button"
      role="switch"
      aria-checked={live}
      aria-label="Live"
      className="btn btn-quiet"
      title={live ? 'Live: pause (l)' : 'Paused: go live (l)'}
      onClick={toggle}
    >
      {live ? <span className={`size-2 rounded-full ${away ? 'bg-bad' : 'bg-ok motion-safe:animate-pulse'}`} /> : <Icon name="pause" />}
      <span className="max-sm:sr-only" aria-hidden="true">
        {live ? (away ? 'No answer' : 'Live') : 'Paused'}
      </span>
    </button>
  );
}
