import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { type FormEvent, type KeyboardEvent, type ReactNode, useDeferredValue, useEffect, useRef, useState } from 'react';
import { api } from '../api/client.ts';
import type { Hit, ListMeta } from '../api/types.ts';
import { isUuid, plural, shortId, words } from '../format.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { Icon } from '../parts/icons.tsx';
import { Time } from '../parts/Time.tsx';
import { Trouble } from '../parts/Trouble.tsx';
import { useLists, useSession, useTenantOf } from '../session.tsx';

/** One line of the answer and where it leads. */
interface Choice {
  key: string;
  icon: 'trace' | 'search' | 'right';
  title: string;
  note: string;
  at?: string | undefined;
  go:
    | { to: '/trace/$id'; params: { id: string } }
    | { to: '/lists/$module/$list'; params: { module: string; list: string } }
    | { to: '/lists/$module/$list/$id'; params: { module: string; list: string; id: string }; search: { tenant?: string } };
}

type TenantOf = ReturnType<typeof useTenantOf>;

const traceChoice = (id: string): Choice => ({
  key: `trace ${id}`,
  icon: 'trace',
  title: `Trace ${shortId(id)}`,
  note: 'everything under this correlation id',
  go: { to: '/trace/$id', params: { id } },
});

const hitChoice = (hit: Hit, lists: readonly ListMeta[], tenantOf: TenantOf): Choice => {
  const meta = lists.find((each) => each.module === hit.module && each.list === hit.list);
  return {
    key: `${hit.module} ${hit.list} ${hit.tenant_id} ${hit.id}`,
    icon: 'search',
    title: hit.title,
    note: `${meta?.title ?? words(hit.module)} · ${shortId(hit.id)}`,
    at: hit.at ?? undefined,
    go: { to: '/lists/$module/$list/$id', params: { module: hit.module, list: hit.list, id: hit.id }, search: tenantOf(hit.tenant_id) },
  };
};

const listChoices = (q: string, lists: readonly ListMeta[]): Choice[] =>
  lists
    .filter((meta) => `${meta.title} ${meta.module}`.toLowerCase().includes(q.toLowerCase()))
    .map((meta) => ({
      key: `list ${meta.module} ${meta.list}`,
      icon: 'right',
      title: meta.title,
      note: `list of ${words(meta.module).toLowerCase()}`,
      go: { to: '/lists/$module/$list', params: { module: meta.module, list: meta.list } },
    }));

/** The trace first when its id was asked for, since that is what people paste most; then records and the trace that all of them share; then lists by name. */
const choicesOf = (q: string, hits: readonly Hit[], lists: readonly ListMeta[], tenantOf: TenantOf): Choice[] => {
  const asked = new Set(hits.flatMap(({ correlation_id: id }) => (id?.startsWith(q.toLowerCase()) ? [id] : [])));
  if (isUuid(q) && hits.length === 0) asked.add(q.toLowerCase());
  const records = hits.map((hit) => hitChoice(hit, lists, tenantOf));
  const shared = new Set(hits.map((hit) => hit.correlation_id));
  const along = shared.size === 1 ? [...shared].flatMap((id) => (id && !asked.has(id) ? [traceChoice(id)] : [])) : [];
  return [...[...asked].map(traceChoice), ...records, ...along, ...listChoices(q, lists)].slice(0, 30);
};

function useFind(q: string) {
  const { access } = useSession();
  return useQuery({
    queryKey: ['find', access.tenant, q],
    queryFn: ({ signal }) => api<{ hits: readonly Hit[] }>(access, `/find?q=${encodeURIComponent(q)}`, { signal }),
    enabled: q.length >= 2,
    placeholderData: (before) => before,
  });
}

function ChoiceLine({ choice, first, done }: { choice: Choice; first: boolean; done: () => void }): ReactNode {
  return (
    <li>
      <Link
        {...choice.go}
        data-choice
        onClick={done}
        className={`flex items-center gap-2.5 rounded-md px-2.5 py-1.5 hover:bg-sunken focus-visible:-outline-offset-2 ${first ? 'group-has-[input:focus]/find:bg-accent-soft' : ''}`}
      >
        <span className="text-soft">
          <Icon name={choice.icon} />
        </span>
        <span className="truncate font-medium">{choice.title}</span>
        <span className="truncate text-soft">{choice.note}</span>
        {choice.at ? (
          <span className="ml-auto pl-2 text-soft">
            <Time at={choice.at} />
          </span>
        ) : null}
      </Link>
    </li>
  );
}

const answer = (q: string, count: number, busy: boolean, where: string): string => {
  if (q.length < 2) return 'Paste an id, the beginning of one, a correlation id, or an entity such as order:42.';
  if (count > 0) return `${plural(count, 'place')}; Enter opens the first, arrows choose`;
  return busy ? 'Looking…' : `Nothing in ${where} begins with “${q}”. Entities are found as type:id.`;
};

/** Arrows move between the field and what was found; a letter typed on a result goes back to the field. */
const walk = (event: KeyboardEvent<HTMLElement>, field: HTMLInputElement | null): void => {
  const links = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-choice]')];
  const at = links.indexOf(document.activeElement as HTMLElement);
  if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    event.preventDefault();
    // From the field the first line is one step down: it is the one that Enter opens.
    const next = event.key === 'ArrowDown' ? links[Math.min(at === -1 && links.length > 1 ? 1 : at + 1, links.length - 1)] : links[at - 1];
    (next ?? field)?.focus();
  } else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) field?.focus();
};

/** The one box that finds everything. */
export function FindDialog({ onClose }: { onClose: () => void }): ReactNode {
  const [typed, setTyped] = useState('');
  const q = useDeferredValue(typed.trim());
  const [eager, setEager] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const navigate = useNavigate();
  const lists = useLists();
  const found = useFind(q);
  const { tenant } = useSession();
  const tenantOf = useTenantOf();
  const choices = choicesOf(q, q.length >= 2 ? (found.data?.hits ?? []) : [], lists.data ?? [], tenantOf);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setEager(true);
  };
  // What was just pasted may not be answered yet: Enter waits for the answer rather than open something else.
  const answered = q === typed.trim() && !found.isPlaceholderData && !found.isLoading;
  const goal = eager && answered ? choices[0]?.go : undefined;
  useEffect(() => {
    if (!goal) return;
    onClose();
    void navigate(goal);
  }, [goal, onClose, navigate]);
  return (
    <Dialog title="Find" onClose={onClose} bare className="mt-[12vh] w-[min(40rem,calc(100vw-1.5rem))]">
      {/* oxlint-disable-next-line jsx-a11y/no-static-element-interactions -- search is a landmark, which the rule does not know; the keys only move between the field and the links inside */}
      <search className="group/find" onKeyDown={(event) => walk(event, field.current)}>
        <form onSubmit={submit} className="flex items-center gap-2.5 border-b border-line px-4 text-soft">
          <Icon name="search" size={16} />
          <input
            ref={field}
            aria-label="Find by id, prefix, correlation id or entity"
            autoComplete="off"
            spellCheck={false}
            placeholder="Id, beginning of an id, correlation id, entity:id"
            className="h-12 min-w-0 flex-1 bg-transparent text-sm text-text outline-none"
            value={typed}
            onChange={(event) => {
              setTyped(event.target.value);
              setEager(false);
            }}
          />
        </form>
        {found.error ? (
          <div className="p-3">
            <Trouble error={found.error} retry={() => void found.refetch()} />
          </div>
        ) : null}
        <ul aria-label="Found" className="max-h-[50vh] overflow-y-auto p-1.5 empty:hidden">
          {choices.map((choice, at) => (
            <ChoiceLine key={choice.key} choice={choice} first={at === 0} done={onClose} />
          ))}
        </ul>
        <output className="block border-t border-line px-4 py-2 text-xs text-soft">
          {answer(q, choices.length, found.isFetching, tenant ? 'this tenant' : 'any tenant')}
        </output>
      </search>
    </Dialog>
  );
}
