import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { rawNumber } from '../../../../packages/plinth/src/react/portal/json.ts';
import { interval, isUuid, shortId } from '../format.ts';
import { isStatusColumn } from '../status.ts';
import { Id } from './Copy.tsx';
import { Icon } from './icons.tsx';
import { Json, JsonLine } from './Json.tsx';
import { Status } from './Status.tsx';
import { Time } from './Time.tsx';

interface ValueProps {
  name: string;
  type: string | undefined;
  value: unknown;
  /** True for the column that links to a trace. */
  correlation?: boolean;
  /** On its own page a value is shown whole. */
  full?: boolean;
}

const isTime = (type: string | undefined, name: string, value: string): boolean =>
  type === undefined ? /_(at|until)$/.test(name) && !Number.isNaN(Date.parse(value)) : type.startsWith('timestamp');

const numbers = new Intl.NumberFormat('en', { maximumFractionDigits: 20 });

export function TraceLink({ id, full = false }: { id: string; full?: boolean }): ReactNode {
  return (
    <Link to="/trace/$id" params={{ id }} title={id} className="link relative z-1 inline-flex items-center gap-1 font-mono text-xs whitespace-nowrap">
      <Icon name="trace" size={12} />
      {full ? id : shortId(id)}
    </Link>
  );
}

function Text({ name, type, value, correlation, full = false }: ValueProps & { value: string }): ReactNode {
  if (value === '') return <span className="text-soft">empty</span>;
  if (correlation) return <TraceLink id={value} full={full} />;
  if (isStatusColumn(name)) return <Status value={value} />;
  if (isTime(type, name, value)) return <Time at={value} full={full} />;
  if (isUuid(value)) return <Id value={value} whole={full} name={name.replaceAll('_', ' ')} />;
  if (full)
    return (
      <span dir="auto" className="block whitespace-pre-wrap">
        {value}
      </span>
    );
  return (
    <span dir="auto" className="block max-w-[20rem] truncate text-left" title={value}>
      {value}
    </span>
  );
}

/** Any value of any column, by its type: times relative, ids short, states marked, JSON to unfold. */
export function Value(props: ValueProps): ReactNode {
  const { name, value, full = false } = props;
  if (value === null || value === undefined) return <span className="text-soft">–</span>;
  if (typeof value === 'string') return <Text {...props} value={value} />;
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'number') return <span>{numbers.format(value)}</span>;
  const raw = rawNumber(value);
  if (raw !== undefined) return <span>{raw}</span>;
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) {
    return value.length === 0 ? (
      <span className="text-soft">none</span>
    ) : (
      <span className={full ? 'break-words' : 'block max-w-[20rem] truncate'}>{value.join(', ')}</span>
    );
  }
  const length = interval(value);
  if (length !== undefined) return <span className="whitespace-nowrap">{length}</span>;
  return full ? <Json value={value} label={name} /> : <JsonLine value={value} />;
}
