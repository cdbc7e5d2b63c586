import { useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { asProblem } from '../api/problem.ts';
import { signOut } from '../api/sign-in.ts';
import { Icon } from '../parts/icons.tsx';
import { useToast } from '../parts/toast.tsx';
import { forget, meQuery } from '../session.tsx';

/** Ends the session on the server and forgets everything that was fetched. */
export function SignOutButton(): ReactNode {
  const client = useQueryClient();
  const toast = useToast();
  const leave = async (): Promise<void> => {
    try {
      await signOut();
      forget(client);
      await client.resetQueries({ queryKey: meQuery.queryKey });
    } catch (error) {
      toast({ text: asProblem(error).message, bad: true });
    }
  };
  return (
    <button type="button" className="btn btn-quiet px-2" aria-label="Sign out" title="Sign out" onClick={leave}>
      <Icon name="exit" size={15} />
    </button>
  );
}
