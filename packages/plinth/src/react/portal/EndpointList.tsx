import { type ReactNode, useState } from 'react';
import { usePages } from './asking.ts';
import type { Endpoint } from './client.ts';
import { EndpointForm } from './EndpointForm.tsx';
import { Badge, Busy, Empty, More, Title, Trouble } from './parts.tsx';
import { usePortal } from './portal-context.tsx';

/** The state of an endpoint in a word, with a sentence for who wonders. */
export function EndpointState({ endpoint }: { endpoint: Endpoint }): ReactNode {
  if (!endpoint.enabled) return <Badge tone="bad">Disabled</Badge>;
  if (endpoint.breaker !== 'closed') return <Badge tone="warn">Paused after failures</Badge>;
  if (endpoint.failing_since) return <Badge tone="warn">Failing</Badge>;
  return <Badge tone="ok">Enabled</Badge>;
}

/** The customer's endpoints, newest first. */
export function EndpointList({ onOpen }: { onOpen: (id: string) => void }): ReactNode {
  const { canManage } = usePortal();
  const { rows, error, busy, more, reload } = usePages<Endpoint>('/endpoints', 'endpoints');
  const [adding, setAdding] = useState(false);
  const add = canManage ? (
    <button type="button" className="plp-button plp-main" onClick={() => setAdding(true)}>
      Add an endpoint
    </button>
  ) : null;
  return (
    <section>
      <div className="plp-head">
        <Title>Endpoints</Title>
        {rows && rows.length > 0 ? add : null}
      </div>
      {error ? <Trouble error={error} retry={reload} /> : null}
      {!rows && !error ? <Busy /> : null}
      {rows?.length === 0 ? (
        <Empty>
          <p>No endpoint yet. An endpoint is an https address of yours that is told of events as they happen.</p>
          {add}
        </Empty>
      ) : null}
      {rows && rows.length > 0 ? <EndpointTable rows={rows} onOpen={onOpen} /> : null}
      <More more={more} busy={busy} />
      {adding ? <EndpointForm onClose={() => setAdding(false)} onSaved={reload} onMade={onOpen} /> : null}
    </section>
  );
}

function EndpointTable({ rows, onOpen }: { rows: readonly Endpoint[]; onOpen: (id: string) => void }): ReactNode {
  return (
    <table className="plp-table">
      <thead>
        <tr>
          <th scope="col">Endpoint</th>
          <th scope="col">Events</th>
          <th scope="col">State</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((endpoint) => (
          <tr key={endpoint.id}>
            <th scope="row">
              <button type="button" className="plp-link" onClick={() => onOpen(endpoint.id)}>
                <bdi>{endpoint.name}</bdi>
              </button>
              <span className="plp-soft plp-break">{endpoint.url ?? 'pulled'}</span>
            </th>
            <td className="plp-break">{endpoint.patterns.join(', ')}</td>
            <td>
              <EndpointState endpoint={endpoint} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
