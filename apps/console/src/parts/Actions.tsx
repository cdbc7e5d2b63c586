import { useMutation } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useState } from 'react';
import { act } from '../api/client.ts';
import { Problem } from '../api/problem.ts';
import type { ActionMeta, ListMeta, Row } from '../api/types.ts';
import { rowName } from '../row-name.ts';
import { accessTo, useRefresh, useSession } from '../session.tsx';
import { ActionFields, inputOf, valuesOf } from './ActionFields.tsx';
import { Dialog } from './Dialog.tsx';
import { Trouble } from './Trouble.tsx';
import { useToast } from './toast.tsx';

export const isReady = (row: Row, { when }: Pick<ActionMeta, 'when'>): boolean => !when || !(when.column in row) || when.in.includes(String(row[when.column]));

/** Actions of the card that the row is ready for. */
export const actionsFor = (meta: ListMeta, row: Row): ActionMeta[] => meta.actions.filter((action) => isReady(row, action));

interface ActionProps {
  meta: ListMeta;
  action: ActionMeta;
  row: Row;
  small: boolean;
}

/** Dangerous actions and those with fields ask first; every failure is told with its way out, in the same dialog. */
function ActionButton({ meta, action, row, small }: ActionProps): ReactNode {
  const { access } = useSession();
  const [asking, setAsking] = useState(false);
  const [values, setValues] = useState(() => valuesOf(action.fields, row));
  const refresh = useRefresh();
  const toast = useToast();
  const send = (procedure: string): Promise<unknown> => act(accessTo(access, row), procedure, { ...inputOf(action.fields, values), id: row.id });
  const run = useMutation({
    mutationFn: () => send(action.procedure),
    onSuccess: () => {
      setAsking(false);
      toast({ text: `${action.label}: done` });
      return refresh();
    },
    onError: () => setAsking(true),
  });
  const close = (): void => {
    setAsking(false);
    run.reset();
  };
  const asks = action.danger || action.fields.length > 0;
  // As the row is now, not as it was when the list was opened.
  const ask = (): void => {
    setValues(valuesOf(action.fields, row));
    setAsking(true);
  };
  // A button that is switched off loses the keyboard: while it runs it stays, and does nothing.
  const begin = (): void => {
    if (!run.isPending) run.mutate();
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    begin();
  };
  return (
    <>
      <button
        type="button"
        className={`btn relative z-1 ${action.danger ? 'btn-danger' : ''} ${small ? 'btn-small' : ''}`}
        aria-disabled={run.isPending || undefined}
        onClick={() => (asks ? ask() : begin())}
      >
        {action.label}
      </button>
      {asking ? (
        <Dialog title={run.error ? `${action.label}: not done` : `${action.label}?`} onClose={close} keeps>
          <form className="flex flex-col gap-4 p-4" onSubmit={submit}>
            {run.error ? (
              <Trouble error={run.error} />
            ) : (
              <p>
                {meta.title}: <strong className="font-semibold break-words">{rowName(meta, row)}</strong>{' '}
                <code className="font-mono text-xs break-all">{row.id}</code>
              </p>
            )}
            <ActionFields fields={action.fields} values={values} issues={run.error instanceof Problem ? run.error.issues : []} onChange={setValues} />
            {action.counts ? <Count key={JSON.stringify(values)} counts={action.counts} send={send} /> : null}
            <div className="flex justify-end gap-2">
              <button type="button" className="btn" onClick={close}>
                {run.error ? 'Close' : 'Keep as it is'}
              </button>
              <button type="submit" className={`btn ${action.danger ? 'btn-danger' : 'btn-main'}`} aria-disabled={run.isPending || undefined}>
                {run.error ? 'Try again' : action.label}
              </button>
            </div>
          </form>
        </Dialog>
      ) : null}
    </>
  );
}

/** How much it would be, before it is done. What was counted for other values says nothing of these: it is another one then. */
function Count({
  counts: { procedure, field, what },
  send,
}: {
  counts: NonNullable<ActionMeta['counts']>;
  send: (procedure: string) => Promise<unknown>;
}): ReactNode {
  const count = useMutation({ mutationFn: async () => String(((await send(procedure)) as Record<string, unknown>)[field]) });
  return (
    <div className="flex flex-wrap items-center gap-2">
      <button type="button" className="btn" aria-disabled={count.isPending || undefined} onClick={() => count.isPending || count.mutate()}>
        Count
      </button>
      <output>{count.data === undefined ? '' : `${count.data} ${what}`}</output>
      {count.error ? <Trouble error={count.error} /> : null}
    </div>
  );
}

export function Actions({ meta, row, small = false }: { meta: ListMeta; row: Row; small?: boolean }): ReactNode {
  const actions = actionsFor(meta, row);
  if (actions.length === 0) return null;
  return (
    <div className={`flex gap-2 ${small ? '' : 'flex-wrap'}`}>
      {actions.map((action) => (
        <ActionButton key={`${action.procedure} ${action.label}`} meta={meta} action={action} row={row} small={small} />
      ))}
    </div>
  );
}
