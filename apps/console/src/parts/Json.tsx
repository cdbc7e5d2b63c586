import { type ReactNode, useState } from 'react';
import { rawNumber } from '../../../../packages/plinth/src/react/portal/json.ts';
import { plural } from '../format.ts';
import { CopyButton } from './Copy.tsx';

const isBranch = (value: unknown): value is object => typeof value === 'object' && value !== null && rawNumber(value) === undefined;

function Leaf({ value }: { value: unknown }): ReactNode {
  if (typeof value === 'string') return <span className="break-all whitespace-pre-wrap text-ok">{JSON.stringify(value)}</span>;
  if (value === null) return <span className="text-soft">null</span>;
  return <span className="text-run">{rawNumber(value) ?? String(value)}</span>;
}

const shownEntries = 200;
const longText = 160;

/** What is folded is drawn all the same, so that find-in-page opens it; not in a large value, nor below this depth, where only what is opened is. */
const drawnChars = 50_000;
const drawnDepth = 12;

interface NodeProps {
  name: string | undefined;
  value: unknown;
  depth: number;
  /** The whole is large. */
  large: boolean;
}

/** Deeper levels and large ones begin folded. */
function Branch({ name, value, depth, large }: NodeProps & { value: object }): ReactNode {
  const [open, setOpen] = useState(() => depth < 3 && JSON.stringify(value).length < 2_000);
  const entries = Object.entries(value);
  const array = Array.isArray(value);
  const key = name === undefined ? null : <span className="text-soft">{name}: </span>;
  if (entries.length === 0) {
    return (
      <div className="pl-4">
        {key}
        {array ? '[]' : '{}'}
      </div>
    );
  }
  const children = () => (
    <div className={depth === 0 ? '' : 'ml-1.5 border-l border-line pl-2.5'}>
      {entries.slice(0, shownEntries).map(([each, inner]) => (
        <JsonNode key={each} name={each} value={inner} depth={depth + 1} large={large} />
      ))}
      {entries.length > shownEntries ? <div className="pl-4 text-soft">and {entries.length - shownEntries} more; copy to see all</div> : null}
    </div>
  );
  if (depth === 0) return children();
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="rounded hover:bg-sunken">
        {key}
        <span className="text-soft">{array ? `[ ${plural(entries.length, 'item')} ]` : `{ ${plural(entries.length, 'field')} }`}</span>
      </summary>
      {open || !(large || depth >= drawnDepth) ? children() : null}
    </details>
  );
}

function JsonNode({ name, value, depth, large }: NodeProps): ReactNode {
  if (isBranch(value)) return <Branch name={name} value={value} depth={depth} large={large} />;
  return (
    <div className="pl-4">
      {name === undefined ? null : <span className="text-soft">{name}: </span>}
      <Leaf value={value} />
    </div>
  );
}

/** A JSON value to read, fold and copy. */
export function Json({ value, label }: { value: unknown; label: string }): ReactNode {
  const text = JSON.stringify(value, null, 2);
  return (
    <div className="relative rounded-md border border-line bg-ground py-2 pr-9 pl-1 font-mono text-xs leading-5">
      <div className="absolute top-1 right-1">
        <CopyButton text={text} label={`Copy ${label}`} />
      </div>
      <JsonNode name={undefined} value={value} depth={0} large={text.length > drawnChars} />
    </div>
  );
}

/** One line of a JSON value, for a cell of a table. */
export function JsonLine({ value }: { value: unknown }): ReactNode {
  const text = JSON.stringify(value);
  return (
    <span className="font-mono text-xs text-soft" title={text.length > longText ? undefined : text}>
      {text.length > longText ? `${text.slice(0, longText)}…` : text}
    </span>
  );
}
