import { useLocation, useNavigate } from '@tanstack/react-router';
import { type ReactNode, type RefObject, useCallback, useEffect, useRef, useState } from 'react';
import { keepFocus } from '../../../../packages/plinth/src/react/portal/keep-focus.ts';
import { AwayBanner } from '../away.tsx';
import { LiveSwitch } from '../live.tsx';
import { Icon } from '../parts/icons.tsx';
import { useCommand, useShortcut } from '../shortcuts.ts';
import { FindDialog } from './Find.tsx';
import { HelpDialog } from './Help.tsx';
import { Navigation, NavigationDialog } from './Navigation.tsx';
import { SignOutButton } from './SignOut.tsx';
import { TenantButton } from './Tenant.tsx';
import { ThemeButton } from './Theme.tsx';

type Open = 'find' | 'help' | 'menu' | undefined;

/** After a step to another page the keyboard stands at its beginning, and screen readers say where they are. */
function useArrival(pathname: string): void {
  const last = useRef(pathname);
  useEffect(() => {
    if (last.current === pathname) return;
    last.current = pathname;
    document.getElementById('main')?.focus({ preventScroll: true });
  }, [pathname]);
}

/** What is done from a list may take the row, or the button, away. */
function useKeptFocus(): RefObject<HTMLDivElement | null> {
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => (root.current ? keepFocus(root.current) : undefined), []);
  return root;
}

function FindButton({ onClick }: { onClick: () => void }): ReactNode {
  return (
    <button
      type="button"
      onClick={onClick}
      className="flex h-8 min-w-0 flex-1 items-center gap-2 rounded-md border border-line-strong bg-ground px-2.5 text-soft hover:border-accent sm:max-w-md"
    >
      <Icon name="search" />
      <span className="truncate">
        Find <span className="max-sm:sr-only">by id, correlation or entity</span>
      </span>
      <kbd className="ml-auto rounded border border-line px-1 font-sans text-xs whitespace-nowrap max-sm:hidden">Ctrl K</kbd>
    </button>
  );
}

function Top({ open }: { open: (what: Open) => void }): ReactNode {
  return (
    <header className="sticky top-0 z-20 flex h-12 items-center gap-2 border-b border-line bg-panel px-3 sm:px-5">
      <button type="button" className="btn btn-quiet px-2 lg:hidden" aria-label="Menu" onClick={() => open('menu')}>
        <Icon name="menu" size={16} />
      </button>
      <FindButton onClick={() => open('find')} />
      <div className="ml-auto flex items-center gap-0.5">
        <TenantButton />
        <LiveSwitch />
        <ThemeButton />
        <button type="button" className="btn btn-quiet px-2 max-sm:hidden" aria-label="Shortcuts" title="Shortcuts (?)" onClick={() => open('help')}>
          <Icon name="help" size={15} />
        </button>
        <SignOutButton />
      </div>
    </header>
  );
}

/** What stands around every page. */
export function Shell({ children }: { children: ReactNode }): ReactNode {
  const [open, setOpen] = useState<Open>();
  const close = useCallback(() => setOpen(undefined), []);
  const find = useCallback(() => setOpen('find'), []);
  const navigate = useNavigate();
  useCommand('k', find);
  useShortcut('/', find);
  useShortcut('?', () => setOpen('help'));
  useShortcut('h', () => void navigate({ to: '/' }));
  const { pathname } = useLocation();
  const [place, setPlace] = useState(pathname);
  // In the same step: a menu that is open is modal, and nothing below it takes the focus.
  if (place !== pathname) {
    setPlace(pathname);
    setOpen(undefined);
  }
  useArrival(pathname);
  const root = useKeptFocus();
  return (
    <div ref={root} className="grid min-h-dvh print:block lg:grid-cols-[13.5rem_minmax(0,1fr)]">
      <a href="#main" className="btn btn-main sr-only z-50 focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:px-3 focus:py-1">
        Skip to content
      </a>
      <aside className="sticky top-0 hidden h-dvh overflow-y-auto border-r border-line bg-panel lg:block">
        <Navigation />
      </aside>
      <div className="flex min-w-0 flex-col">
        <Top open={setOpen} />
        <AwayBanner />
        <main id="main" tabIndex={-1} className="w-full max-w-[110rem] flex-1 px-3 py-5 outline-none sm:px-6">
          {children}
        </main>
      </div>
      {open === 'find' ? <FindDialog onClose={close} /> : null}
      {open === 'help' ? <HelpDialog onClose={close} /> : null}
      {open === 'menu' ? <NavigationDialog onClose={close} /> : null}
    </div>
  );
}
