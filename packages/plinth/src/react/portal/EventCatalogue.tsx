import type { ReactNode } from 'react';
import { usePages } from './asking.ts';
import type { EventType } from './client.ts';
import { Badge, Busy, Code, Empty, More, Title, Trouble } from './parts.tsx';

/** Public event types with schema and example. */
export function EventCatalogue(): ReactNode {
  const { rows, error, busy, more, reload } = usePages<EventType>('/event-types', 'types');
  return (
    <section>
      <Title>Events</Title>
      {error ? <Trouble error={error} retry={reload} /> : null}
      {!rows && !error ? <Busy /> : null}
      {rows?.length === 0 ? <Empty>No event types have been published yet.</Empty> : null}
      {rows?.map((type) => (
        <TypeEntry key={type.name} type={type} />
      ))}
      <More more={more} busy={busy} />
    </section>
  );
}

function TypeEntry({ type }: { type: EventType }): ReactNode {
  return (
    <details className="plp-entry">
      <summary>
        <code>{type.name}</code> {type.deprecated_at ? <Badge tone="warn">Deprecated</Badge> : null}
        {type.description ? <span className="plp-soft"> {type.description}</span> : null}
      </summary>
      {type.deprecated_at ? (
        <p>
          {type.deprecation} {type.successor ? `Use ${type.successor}.` : ''}
        </p>
      ) : null}
      {type.example ? (
        <>
          <h3>Example</h3>
          <Code label={`Example of ${type.name}`}>{JSON.stringify(type.example, null, 2)}</Code>
        </>
      ) : null}
      {type.schema ? (
        <>
          <h3>Schema, version {type.version}</h3>
          <Code label={`Schema of ${type.name}`}>{JSON.stringify(type.schema, null, 2)}</Code>
        </>
      ) : (
        <p className="plp-soft">No schema was published.</p>
      )}
    </details>
  );
}
