/** What the console and GET /api/v1/lists are told of the lists of the cards. */
import type { ActionField, ListCard } from './module.ts';

export interface ListMeta {
  module: string;
  list: string;
  title: string;
  columns: { name: string; type: string }[];
  filters: string[];
  empty: string;
  /** Column that links to a trace. */
  correlation: string | null;
  actions: ActionMeta[];
  explain: ExplainMeta | null;
}

export interface ExplainMeta {
  procedure: string;
  title: string;
  when: { column: string; in: string[] } | null;
}

/** An action with its procedures by their whole names: `jobs.cancel`. */
export interface ActionMeta {
  procedure: string;
  label: string;
  when: { column: string; in: string[] } | null;
  danger: boolean;
  fields: FieldMeta[];
  counts: { procedure: string; field: string; what: string } | null;
}

/** A field of an action; what the card leaves out is null. */
export type FieldMeta = Pick<ActionField, 'name' | 'label' | 'type'> & {
  hint: string | null;
  options: { value: string; label: string }[];
  required: boolean;
  from: string | null;
  when: { field: string; in: string[] } | null;
};

const fieldOf = ({ name, label, type, hint, options, required, from, when }: ActionField): FieldMeta => ({
  name,
  label,
  type,
  hint: hint ?? null,
  options: [...(options ?? [])],
  required: required ?? false,
  from: from ?? null,
  when: when ? { field: when.field, in: [...when.in] } : null,
});

interface Listed {
  module: string;
  name: string;
  card: ListCard;
  /** Permission that a procedure asks for; undefined when it looks itself. */
  permissionOf(procedure: string): string | undefined;
}

interface Viewed {
  types: ReadonlyMap<string, string>;
  correlation: string | null;
}

const whenOf = (when: { column: string; in: readonly string[] } | undefined) => (when ? { column: when.column, in: [...when.in] } : null);

/** What the console is told of a list: with the actions and the explanation whose permission passes `mayDo`. */
export function metaOf({ module, name, card, permissionOf }: Listed, view: Viewed, mayDo: (permission: string) => boolean): ListMeta {
  const offered = ({ procedure }: { procedure: string }): boolean => {
    const permission = permissionOf(procedure);
    return permission === undefined || mayDo(permission);
  };
  const { explain } = card;
  return {
    module,
    list: name,
    title: card.title,
    columns: card.columns.map((column) => ({ name: column, type: view.types.get(column) ?? 'text' })),
    filters: [...card.filters],
    empty: card.empty,
    correlation: view.correlation,
    actions: (card.actions ?? []).filter(offered).map(({ procedure, label, when, danger, fields, counts }) => ({
      procedure: `${module}.${procedure}`,
      label,
      when: whenOf(when),
      danger: danger ?? false,
      fields: (fields ?? []).map(fieldOf),
      counts: counts ? { ...counts, procedure: `${module}.${counts.procedure}` } : null,
    })),
    explain: explain && offered(explain) ? { procedure: `${module}.${explain.procedure}`, title: explain.title, when: whenOf(explain.when) } : null,
  };
}
