import { type FormEvent, type ReactNode, useId, useRef, useState } from 'react';
import type { ListMeta } from '../api/types.ts';
import { Icon } from '../parts/icons.tsx';
import { useShortcut } from '../shortcuts.ts';

/** Parts of a filter: `column:value` and `"quoted words"` stay together. */
const partsOf = (q: string): string[] => q.match(/(?:[^\s"]|"(?:[^"\\]|\\.)*")+/g) ?? [];

function Chips({ q, apply }: { q: string; apply: (q: string) => void }): ReactNode {
  const parts = partsOf(q);
  if (parts.length === 0) return null;
  return (
    <ul aria-label="Filters in use" className="flex flex-wrap gap-1.5">
      {parts.map((part) => (
        <li key={part}>
          <button
            type="button"
            aria-label={`Remove ${part}`}
            className="inline-flex h-6 items-center gap-1 rounded bg-accent-soft pr-1 pl-2 font-mono text-xs text-accent hover:underline"
            onClick={() => apply(parts.filter((each) => each !== part).join(' '))}
          >
            {part}
            <Icon name="close" size={12} />
          </button>
        </li>
      ))}
    </ul>
  );
}

/** The filter as text: `column:value`, `column:begin*`. The columns that can be asked for stand below it and write themselves. */
export function FilterBox({ meta, q, apply }: { meta: ListMeta; q: string; apply: (q: string) => void }): ReactNode {
  const [typed, setTyped] = useState(q);
  // The address may change from elsewhere: a chip, a link, the way back. What is typed on after Enter stays.
  const [seen, setSeen] = useState({ q, own: q });
  if (seen.q !== q) {
    setSeen({ q, own: q });
    if (seen.own !== q) setTyped(q);
  }
  const field = useRef<HTMLInputElement>(null);
  const hintId = useId();
  useShortcut('f', () => field.current?.focus());
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setSeen({ ...seen, own: typed.trim() });
    apply(typed.trim());
  };
  const insert = (column: string): void => {
    setTyped((before) => `${before.trim()} ${column}:`.trimStart());
    field.current?.focus();
  };
  if (meta.filters.length === 0) return null;
  return (
    <search className="mb-3 flex flex-col gap-2">
      <form className="flex gap-2" onSubmit={submit}>
        <div className="relative max-w-3xl flex-1">
          <span className="pointer-events-none absolute inset-y-0 left-2.5 flex items-center text-soft">
            <Icon name="filter" />
          </span>
          <input
            ref={field}
            aria-label={`Filter ${meta.title}`}
            aria-describedby={hintId}
            className="field h-8 pl-8 font-mono text-xs"
            placeholder={`${meta.filters[0]}:value`}
            autoComplete="off"
            spellCheck={false}
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === 'Escape') field.current?.blur();
            }}
          />
        </div>
        <button type="submit" className="btn h-8">
          Filter
        </button>
      </form>
      <div id={hintId} className="flex flex-wrap items-center gap-x-2.5 text-xs leading-6 text-soft">
        <span>By</span>
        {meta.filters.map((column) => (
          <button
            key={column}
            type="button"
            className="min-h-6 min-w-6 font-mono text-soft underline decoration-line-strong underline-offset-3 hover:text-accent"
            onClick={() => insert(column)}
          >
            {column}
          </button>
        ))}
        <span>
          · <code className="font-mono">start*</code> begins with, <code className="font-mono">a,b</code> any of, <code className="font-mono">-column:</code>{' '}
          not, <code className="font-mono">since:7d</code> newer than
        </span>
      </div>
      <Chips q={q} apply={apply} />
    </search>
  );
}
