import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, type ReactNode, useDeferredValue, useId, useState } from 'react';
import type { Tenant } from '../api/types.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { Icon } from '../parts/icons.tsx';
import { allTenants, tenantsQuery, useSession } from '../session.tsx';
import { store } from '../storage.ts';

/** As many as the session lists; where there are more, they are looked for. */
const listed = 200;

/** The tenants to choose from: those of the session, or those that were looked for, and always the one that is chosen. */
function useChoice(typed: string, chosen: Tenant | undefined): readonly Tenant[] {
  const { tenants } = useSession();
  const q = useDeferredValue(typed.trim());
  const found = useQuery({ ...tenantsQuery(q), enabled: q !== '', placeholderData: keepPreviousData });
  const offered = q === '' ? tenants : (found.data ?? []);
  return chosen && !offered.some(({ id }) => id === chosen.id) ? [chosen, ...offered] : offered;
}

/** Operators choose the tenant they look into and say why; the API writes both into the audit log. */
function TenantDialog({ onClose }: { onClose: () => void }): ReactNode {
  const { tenants, tenant, reason, setReason } = useSession();
  const [chosen, setChosen] = useState(tenant);
  const [why, setWhy] = useState(reason);
  const [typed, setTyped] = useState('');
  const choice = useChoice(typed, chosen);
  const navigate = useNavigate();
  const [findField, tenantField, reasonField] = [useId(), useId(), useId()];
  const enter = (event: FormEvent): void => {
    event.preventDefault();
    setReason(why.trim());
    const goal = chosen?.id ?? allTenants;
    store('tenant', goal);
    if (chosen?.id !== tenant?.id) void navigate({ to: '/', search: { tenant: goal } });
    onClose();
  };
  return (
    <Dialog title="Tenant" onClose={onClose}>
      <form className="flex flex-col gap-3 p-4" onSubmit={enter}>
        {tenants.length >= listed ? (
          <>
            <label htmlFor={findField} className="font-medium">
              Find a tenant
            </label>
            <input
              id={findField}
              className="field"
              value={typed}
              autoComplete="off"
              placeholder="Part of its name, beginning of its slug, or its id"
              onChange={(event) => setTyped(event.target.value)}
            />
          </>
        ) : null}
        <label htmlFor={tenantField} className="font-medium">
          Look into
        </label>
        <select
          id={tenantField}
          className="field"
          size={typed === '' ? undefined : 6}
          value={chosen?.id ?? allTenants}
          onChange={(event) => setChosen(choice.find(({ id }) => id === event.target.value))}
        >
          <option value={allTenants}>All tenants</option>
          {choice.map((each) => (
            <option key={each.id} value={each.id}>
              {each.name}
            </option>
          ))}
        </select>
        <label htmlFor={reasonField} className="font-medium">
          Reason
        </label>
        <input
          id={reasonField}
          className="field"
          value={why}
          required
          maxLength={200}
          placeholder="Ticket or question"
          onChange={(event) => setWhy(event.target.value)}
        />
        <p className="text-soft">The reason is written into the tenant&apos;s audit log with what you do.</p>
        <button type="submit" className="btn btn-main self-end">
          Use
        </button>
      </form>
    </Dialog>
  );
}

export function TenantButton(): ReactNode {
  const { principal, tenant } = useSession();
  const [open, setOpen] = useState(false);
  if (!principal.operator) return tenant && <span className="px-2 font-medium max-sm:hidden">{tenant.name}</span>;
  return (
    <>
      <button type="button" className="btn btn-quiet max-w-40" onClick={() => setOpen(true)}>
        <span className="sr-only">Tenant: </span>
        <span className="truncate">{tenant?.name ?? 'All tenants'}</span>
        <Icon name="down" size={12} />
      </button>
      {open ? <TenantDialog onClose={() => setOpen(false)} /> : null}
    </>
  );
}
