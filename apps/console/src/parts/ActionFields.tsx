import { type ReactNode, useId } from 'react';
import type { Issue } from '../api/problem.ts';
import type { FieldMeta, Row } from '../api/types.ts';

/** What stands in the fields, as text; of a flag `true` or nothing. */
export type Values = Readonly<Record<string, string>>;

/** A time as a form has it: in the zone of the reader, to the minute, and rather too early. */
function localOf(time: unknown): string {
  const at = new Date(String(time));
  return Number.isNaN(at.getTime()) ? '' : new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function begun({ type, from, options }: FieldMeta, row: Row): string {
  const value = from === null ? undefined : row[from];
  if (value === undefined || value === null) return type === 'choice' ? (options[0]?.value ?? '') : '';
  if (type === 'time') return localOf(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What the fields of an action begin with. */
export const valuesOf = (fields: readonly FieldMeta[], row: Row): Values => Object.fromEntries(fields.map((field) => [field.name, begun(field, row)]));

const isAsked = ({ when }: FieldMeta, values: Values): boolean => !when || when.in.includes(values[when.field] ?? '');

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function sent(type: FieldMeta['type'], text: string): unknown {
  if (type === 'flag') return text === 'true';
  if (text.trim() === '') return undefined;
  if (type === 'number') return Number(text);
  if (type === 'time') return new Date(text).toISOString();
  if (type === 'list') return text.split(/[\s,]+/).filter((one) => one !== '');
  return type === 'json' ? jsonOf(text) : text;
}

/** The input that the values mean; without what was left empty or is not asked. */
export const inputOf = (fields: readonly FieldMeta[], values: Values): Record<string, unknown> =>
  Object.fromEntries(
    fields
      .filter((field) => isAsked(field, values))
      .map(({ name, type }) => [name, sent(type, values[name] ?? '')] as const)
      .filter(([, value]) => value !== undefined),
  );

interface ControlProps {
  field: FieldMeta;
  id: string;
  /** Ids of what is said of it: its hint, and why it was refused. */
  saidBy: string | undefined;
  refused: boolean;
  value: string;
  onChange: (value: string) => void;
}

const INPUTS = { text: 'text', number: 'number', time: 'datetime-local' } as const;

function Control({ field, id, saidBy, refused, value, onChange }: ControlProps): ReactNode {
  const aria = { id, 'aria-describedby': saidBy, 'aria-invalid': refused || undefined };
  const shared = { ...aria, required: field.required, value };
  const change = (event: { target: { value: string } }): void => onChange(event.target.value);
  if (field.type === 'choice')
    return (
      <select {...shared} className="field" onChange={change}>
        {field.options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
    );
  if (field.type === 'list' || field.type === 'json') return <textarea {...shared} className="field py-1 font-mono text-xs" rows={2} onChange={change} />;
  if (field.type === 'flag')
    return (
      <input
        {...aria}
        type="checkbox"
        className="size-4 self-start"
        checked={value === 'true'}
        onChange={(event) => onChange(event.target.checked ? 'true' : '')}
      />
    );
  return <input {...shared} className="field" type={INPUTS[field.type]} step={field.type === 'number' ? 'any' : undefined} onChange={change} />;
}

interface FieldProps extends Pick<ControlProps, 'field' | 'value' | 'onChange'> {
  issue: string | undefined;
}

function Field({ field, value, issue, onChange }: FieldProps): ReactNode {
  const id = useId();
  const [hintId, issueId] = [`${id}-hint`, `${id}-issue`];
  const saidBy = [field.hint ? hintId : '', issue ? issueId : ''].filter(Boolean).join(' ');
  return (
    <div className={field.type === 'flag' ? 'flex flex-row-reverse flex-wrap items-center justify-end gap-x-2' : 'flex flex-col gap-1'}>
      <label htmlFor={id} className="font-medium">
        {field.label}
      </label>
      <Control field={field} id={id} saidBy={saidBy === '' ? undefined : saidBy} refused={issue !== undefined} value={value} onChange={onChange} />
      {issue ? (
        <p id={issueId} className="text-bad">
          {issue}
        </p>
      ) : null}
      {field.hint ? (
        <p id={hintId} className="text-soft">
          {field.hint}
        </p>
      ) : null}
    </div>
  );
}

interface ActionFieldsProps {
  fields: readonly FieldMeta[];
  values: Values;
  /** What the API refused when they were sent. */
  issues: readonly Issue[];
  onChange: (values: Values) => void;
}

/** Of a list (`to.0`) the field is meant that holds it. */
const issueOf = (issues: readonly Issue[], name: string): string | undefined => issues.find(({ field }) => field.split('.')[0] === name)?.message;

export function ActionFields({ fields, values, issues, onChange }: ActionFieldsProps): ReactNode {
  return fields
    .filter((field) => isAsked(field, values))
    .map((field) => (
      <Field
        key={field.name}
        field={field}
        value={values[field.name] ?? ''}
        issue={issueOf(issues, field.name)}
        onChange={(value) => onChange({ ...values, [field.name]: value })}
      />
    ));
}
