import { type FormEvent, type ReactNode, useId, useState } from 'react';
import { useSession } from '../session.tsx';
import { useTitle } from '../title.ts';

/** Operators say why before they see anything. */
function ReasonForm(): ReactNode {
  useTitle('Reason');
  const { setReason } = useSession();
  const [why, setWhy] = useState('');
  const field = useId();
  const say = (event: FormEvent): void => {
    event.preventDefault();
    if (why.trim() !== '') setReason(why.trim());
  };
  return (
    <main className="mx-auto flex min-h-dvh max-w-md flex-col justify-center gap-4 p-6">
      <h1 className="text-lg font-semibold">Why do you look?</h1>
      <p className="text-soft">You are signed in as an operator. Your reason is written into the audit log of every tenant that you look into.</p>
      <form className="card flex flex-col gap-3 p-5" onSubmit={say}>
        <label htmlFor={field} className="font-medium">
          Reason
        </label>
        <input
          id={field}
          className="field"
          required
          maxLength={200}
          placeholder="Ticket or question"
          value={why}
          onChange={(event) => setWhy(event.target.value)}
        />
        <button type="submit" className="btn btn-main">
          Continue
        </button>
      </form>
    </main>
  );
}

export function ReasonGate({ children }: { children: ReactNode }): ReactNode {
  const { principal, reason } = useSession();
  return principal.operator && reason === '' ? <ReasonForm /> : children;
}
