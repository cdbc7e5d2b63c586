import { Link, useLocation } from '@tanstack/react-router';
import { type ReactNode, type RefObject, useEffect, useRef } from 'react';
import type { ListMeta } from '../api/types.ts';
import { words } from '../format.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { useLists } from '../session.tsx';
import { Logo } from './Logo.tsx';

const linkClass =
  'flex items-center gap-2 rounded-md px-2 py-1 text-text hover:bg-sunken aria-[current=page]:bg-accent-soft aria-[current=page]:font-semibold aria-[current=page]:text-accent';

function ListLink({ meta }: { meta: ListMeta }): ReactNode {
  return (
    <Link
      to="/lists/$module/$list"
      params={{ module: meta.module, list: meta.list }}
      search={{}}
      activeOptions={{ includeSearch: false, exact: false }}
      className={linkClass}
    >
      {meta.title}
    </Link>
  );
}

/** A module with several lists is a group under its name. Nothing here knows which modules there are. */
function ModuleGroup({ module, lists }: { module: string; lists: readonly ListMeta[] }): ReactNode {
  const id = `nav-${module}`;
  return (
    <div className="mt-4">
      <h2 id={id} className="px-2 pb-0.5 text-xs font-medium text-soft">
        {words(module)}
      </h2>
      <ul aria-labelledby={id}>
        {lists.map((meta) => (
          <li key={meta.list}>
            <ListLink meta={meta} />
          </li>
        ))}
      </ul>
    </div>
  );
}

/** There are more lists than fit beside a page: the one that is open is to be seen, also where a link led to it. */
function useOpenInSight(known: boolean): RefObject<HTMLElement | null> {
  const { pathname } = useLocation();
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    if (known && pathname) nav.current?.querySelector('[aria-current="page"]')?.scrollIntoView({ block: 'nearest' });
  }, [known, pathname]);
  return nav;
}

export function Navigation(): ReactNode {
  const lists = useLists();
  const nav = useOpenInSight(lists.data !== undefined);
  const modules = [...Map.groupBy(lists.data ?? [], (meta) => meta.module)];
  const alone = modules.flatMap(([, group]) => (group.length === 1 ? group : []));
  return (
    <nav ref={nav} aria-label="Main" className="px-2.5 pb-6">
      <div className="flex h-12 items-center gap-2 px-2 text-sm font-semibold">
        <Logo /> Plinth
      </div>
      <ul className="mt-2">
        <li>
          <Link to="/" activeOptions={{ exact: true, includeSearch: false }} className={linkClass}>
            Overview
          </Link>
        </li>
        {alone.map((meta) => (
          <li key={`${meta.module} ${meta.list}`}>
            <ListLink meta={meta} />
          </li>
        ))}
      </ul>
      {lists.isPending ? <p className="px-2 py-4 text-soft">Loading…</p> : null}
      {lists.error ? <p className="px-2 py-4 text-bad">The lists could not be loaded.</p> : null}
      {modules.map(([module, group]) => (group.length > 1 ? <ModuleGroup key={module} module={module} lists={group} /> : null))}
      <ul className="mt-4 border-t border-line pt-3">
        <li>
          <a href="/docs" className={linkClass}>
            API docs
          </a>
        </li>
      </ul>
    </nav>
  );
}

/** The same on narrow screens. The shell closes it on every step to another page. */
export function NavigationDialog({ onClose }: { onClose: () => void }): ReactNode {
  return (
    <Dialog title="Menu" onClose={onClose} className="m-0 h-dvh max-h-none w-72 rounded-none">
      <Navigation />
    </Dialog>
  );
}
