/** The answers of the API that the console reads. It knows no module: names of modules and lists only ever come from here. */

export interface Tenant {
  id: string;
  /** Undefined for one that a link names and that was not listed. */
  slug?: string;
  name: string;
}

export interface Principal {
  actor: { type: string; id: string };
  tenant_id: string | null;
  operator: boolean;
  /** Patterns of permissions. */
  scopes: readonly string[];
}

export interface Me {
  principal: Principal;
  /** The tenant of the credential; for operators the 200 newest. */
  tenants: readonly Tenant[];
}

export interface ColumnMeta {
  name: string;
  /** PostgreSQL's name of the type: text, uuid, timestamp with time zone, jsonb, ... */
  type: string;
}

/** What an action asks before it is done. */
export interface FieldMeta {
  name: string;
  label: string;
  type: 'text' | 'number' | 'time' | 'list' | 'json' | 'flag' | 'choice';
  hint: string | null;
  options: readonly { value: string; label: string }[];
  required: boolean;
  /** Column whose value it begins with. */
  from: string | null;
  when: { field: string; in: readonly string[] } | null;
}

export interface ActionMeta {
  /** With its module: `jobs.cancel`. */
  procedure: string;
  label: string;
  when: { column: string; in: readonly string[] } | null;
  danger: boolean;
  fields: readonly FieldMeta[];
  /** A procedure with the same input that says how much it would be. */
  counts: { procedure: string; field: string; what: string } | null;
}

export interface ListMeta {
  module: string;
  list: string;
  title: string;
  columns: readonly ColumnMeta[];
  filters: readonly string[];
  empty: string;
  correlation: string | null;
  actions: readonly ActionMeta[];
  explain: { procedure: string; title: string; when: { column: string; in: readonly string[] } | null } | null;
}

/** What an explaining query answers, at least. */
export interface Explanation {
  sentence: string;
  obstacles?: readonly { sentence: string; until?: string }[];
  expected_at?: string;
}

/** A row of a list has the columns of the list, its id, tenant, time and correlation; one on its own page has every column of its view. */
export type Row = Record<string, unknown> & { id: string };

export interface Page {
  rows: readonly Row[];
  next_cursor: string | null;
  /** Only when it was asked for. */
  count?: { rows: number; capped: boolean };
}

export interface Hit {
  module: string;
  list: string;
  id: string;
  tenant_id: string;
  title: string;
  correlation_id: string | null;
  at: string | null;
  status: string | null;
}

export interface TraceRow {
  kind: string;
  id: string;
  tenant_id: string;
  at: string;
  ended_at: string | null;
  status: string | null;
  /** Its kind where a module gave none. */
  title: string;
  entity: string | null;
  parent_id: string | null;
  xact: string | null;
  attempt: number | null;
  data: Record<string, unknown> | null;
  module: string;
}

export interface Trace {
  correlation_id: string;
  rows: readonly TraceRow[];
  /** There may be more: only the oldest 10,000 are told. */
  capped: boolean;
}
