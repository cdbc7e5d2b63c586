/** How parts of the portal ask the API and act on it. */
import { useCallback, useEffect, useRef, useState } from 'react';
import { usePortal } from './portal-context.tsx';

/**
 * Asks one question at a time: anew when `turn` changes, and once more when it is called while an answer is on its way, so that no late answer takes the place
 * of a newer one. `turn` never throws.
 */
function useTurns(turn: (signal: AbortSignal) => Promise<void>): () => void {
  const again = useRef(() => {});
  useEffect(() => {
    const stop = new AbortController();
    let running = false;
    let wanted = false;
    const go = async (): Promise<void> => {
      wanted = true;
      if (running) return;
      running = true;
      while (wanted && !stop.signal.aborted) {
        wanted = false;
        await turn(stop.signal);
      }
      running = false;
    };
    again.current = () => void go();
    again.current();
    return () => stop.abort();
  }, [turn]);
  return useCallback(() => again.current(), []);
}

export interface Asked<Answer> {
  data: Answer | undefined;
  error: unknown;
  reload(): void;
}

/** One answer of the API; asked again when the path changes. */
export function useAsk<Answer>(path: string): Asked<Answer> {
  const { client } = usePortal();
  const [{ data, error }, setState] = useState<{ data?: Answer; error?: unknown }>({});
  const turn = useCallback(
    (signal: AbortSignal) =>
      client.get<Answer>(path, signal).then(
        (answer) => {
          if (!signal.aborted) setState({ data: answer });
        },
        (fault: unknown) => {
          if (!signal.aborted) setState((before) => ({ ...before, error: fault }));
        },
      ),
    [client, path],
  );
  return { data, error, reload: useTurns(turn) };
}

export interface Pages<Row> {
  rows: readonly Row[] | undefined;
  error: unknown;
  busy: boolean;
  /** Undefined on the last page. */
  more: (() => void) | undefined;
  /** Reads the pages that are open again. Stable, so that an effect may depend on it. */
  reload(): void;
}

interface Loaded<Row> {
  /** What was asked: rows of another filter say nothing of this one. */
  path: string;
  rows: readonly Row[] | undefined;
  cursor: string | null;
  pages: number;
  busy: boolean;
  error: unknown;
}

const withCursor = (path: string, cursor: string): string => `${path}${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`;

/** Rows of a list, page after page. `field` is the name of the rows in the answer. */
export function usePages<Row>(path: string, field: string): Pages<Row> {
  const { client } = usePortal();
  const nothing: Loaded<Row> = { path, rows: undefined, cursor: null, pages: 0, busy: true, error: undefined };
  const [state, setState] = useState(nothing);
  const shown = state.path === path ? state : nothing;
  const latest = useRef(shown);
  useEffect(() => {
    latest.current = shown;
  });
  const wantsMore = useRef(false);
  const turn = useCallback(
    async (signal: AbortSignal) => {
      const before = latest.current;
      const further = wantsMore.current && before.cursor !== null;
      wantsMore.current = false;
      const rows: Row[] = further ? [...(before.rows ?? [])] : [];
      const pages = before.pages + (further ? 1 : 0);
      let cursor = further ? before.cursor : null;
      try {
        for (let page = further ? before.pages : 0; page < Math.max(pages, 1); page += 1) {
          const answer = await client.get<Record<string, unknown>>(cursor === null ? path : withCursor(path, cursor), signal);
          rows.push(...(answer[field] as readonly Row[]));
          cursor = answer.next_cursor as string | null;
          if (cursor === null) break;
        }
        if (!signal.aborted) setState({ path, rows, cursor, pages: Math.max(pages, 1), busy: false, error: undefined });
      } catch (error) {
        if (!signal.aborted) setState({ ...latest.current, path, busy: false, error });
      }
    },
    [client, path, field],
  );
  const go = useTurns(turn);
  const reload = useCallback(() => {
    setState((before) => ({ ...before, busy: true, error: undefined }));
    go();
  }, [go]);
  const more = (): void => {
    if (shown.busy) return;
    wantsMore.current = true;
    reload();
  };
  return { rows: shown.rows, busy: shown.busy, error: shown.error, more: shown.cursor === null ? undefined : more, reload };
}

export interface Act {
  busy: boolean;
  error: unknown;
  run(body: () => Promise<void>): void;
}

/** Something that changes: one at a time, its failure kept to be shown. */
export function useAct(): Act {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  return {
    busy,
    error,
    run(body) {
      // Buttons stay switched on meanwhile: one that is switched off loses the keyboard.
      if (busy) return;
      setBusy(true);
      setError(undefined);
      body()
        .catch(setError)
        .finally(() => setBusy(false));
    },
  };
}
