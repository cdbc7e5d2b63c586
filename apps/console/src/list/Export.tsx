import { type ReactNode, useState } from 'react';
import { download } from '../api/client.ts';
import { asProblem } from '../api/problem.ts';
import type { ListMeta } from '../api/types.ts';
import { Icon } from '../parts/icons.tsx';
import { useToast } from '../parts/toast.tsx';
import { useSession } from '../session.tsx';

/** The whole list under the filter that is on screen, as a file. */
export function ExportButton({ meta, q }: { meta: ListMeta; q: string }): ReactNode {
  const { access } = useSession();
  const toast = useToast();
  const [busy, setBusy] = useState(false);
  const save = async (format: 'csv' | 'ndjson'): Promise<void> => {
    setBusy(true);
    const search = new URLSearchParams({ format, ...(q === '' ? {} : { q }) });
    try {
      await download(access, `/exports/${meta.module}/${meta.list}?${search}`, `${meta.module}-${meta.list}.${format}`);
    } catch (error) {
      const problem = asProblem(error);
      toast({ text: `${problem.message}. ${problem.wayOut}`, bad: true });
    } finally {
      setBusy(false);
    }
  };
  return (
    <span className="inline-flex items-center gap-1">
      <button type="button" className="btn" disabled={busy} onClick={() => void save('csv')}>
        <Icon name="export" /> CSV
      </button>
      <button type="button" className="btn" disabled={busy} onClick={() => void save('ndjson')}>
        <Icon name="export" /> NDJSON
      </button>
    </span>
  );
}
