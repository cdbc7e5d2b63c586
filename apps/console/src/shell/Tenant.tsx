import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, type ReactNode, useId, useState } from 'react';
import { Dialog } from '../parts/Dialog.tsx';
import { Icon } from '../parts/icons.tsx';
import { allTenants, useSession } from '../session.tsx';
import { store } from '../storage.ts';

/** Operators choose the tenant they look into and say why; the API writes both into the audit log. */
function TenantDialog({ onClose }: { onClose: () => void }): ReactNode {
  const { tenants, tenant, reason, setReason } = useSession();
  const [chosen, setChosen] = useState(tenant?.id ?? allTenants);
  const [why, setWhy] = useState(reason);
  const navigate = useNavigate();
  const [tenantField, reasonField] = [useId(), useId()];
  const enter = (event: FormEvent): void => {
    event.preventDefault();
    setReason(why.trim());
    store('tenant', chosen);
    if (chosen !== (tenant?.id ?? allTenants)) void navigate({ to: '/', search: { tenant: chosen } });
    onClose();
  };
  return (
    <Dialog title="Tenant" onClose={onClose}>
      <form className="flex flex-col gap-3 p-4" onSubmit={enter}>
        <label htmlFor={tenantField} className="font-medium">
          Look into
        </label>
        <select id={tenantField} className="field" value={chosen} onChange={(event) => setChosen(event.target.value)}>
          <option value={allTenants}>All tenants</option>
          {tenants.map((each) => (
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
