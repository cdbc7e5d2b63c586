import { useMutation } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { api } from '../api/client.ts';
import { Problem } from '../api/problem.ts';
import { Icon } from '../parts/icons.tsx';
import { Trouble } from '../parts/Trouble.tsx';
import { homeTenant, useSession } from '../session.tsx';

/** Where the demo is not part of the installation, the card says how to get a first trace without it. */
function NoDemo(): ReactNode {
  return (
    <output className="mt-3 block border-t border-line pt-3">
      <strong className="font-semibold">The demo is not part of this installation.</strong>{' '}
      <span className="text-soft">
        It comes with <code className="font-mono text-xs">npm start</code> in a clone. Here, any write of your application with a correlation id makes a trace:
        every answer of the API carries its id in <code className="font-mono text-xs">X-Correlation-Id</code>.
      </span>
    </output>
  );
}

/** The shortest way from nothing to a story. */
export function Demo(): ReactNode {
  const { access, tenants } = useSession();
  const navigate = useNavigate();
  const run = useMutation({
    mutationFn: () =>
      api<{ correlation_id: string }>({ ...access, tenant: access.tenant ?? homeTenant(tenants)?.id }, '/demo/orders', { method: 'POST', body: {} }),
    onSuccess: ({ correlation_id: id }) => navigate({ to: '/trace/$id', params: { id } }),
  });
  const missing = run.error instanceof Problem && run.error.status === 404;
  return (
    <section aria-labelledby="demo" className="card p-4 sm:p-5">
      <div className="flex flex-wrap items-center gap-x-6 gap-y-3">
        <div className="min-w-0 flex-1 basis-80">
          <h2 id="demo" className="text-sm font-semibold">
            See one transaction become a story
          </h2>
          <p className="mt-0.5 max-w-2xl text-soft">
            Places an order. The order, its audit entry, its event and its job commit together; what follows from them arrives while you watch, under one
            correlation id.
          </p>
        </div>
        <button type="button" className="btn btn-main min-h-9 px-4" disabled={run.isPending || missing} onClick={() => run.mutate()}>
          <Icon name="play" /> {run.isPending ? 'Running…' : 'Run the demo order'}
        </button>
      </div>
      {missing ? <NoDemo /> : null}
      {run.error && !missing ? (
        <div className="mt-3">
          <Trouble error={run.error} />
        </div>
      ) : null}
    </section>
  );
}
