import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useId, useRef } from 'react';
import { signIn } from '../api/sign-in.ts';
import { Trouble } from '../parts/Trouble.tsx';
import { Logo } from '../shell/Logo.tsx';
import { useTitle } from '../title.ts';

/** For who came without a link, or with one that was used already, and for whose session has `ended`. */
export function SignInPage({ failed, ended }: { failed: unknown; ended: boolean }): ReactNode {
  useTitle('Sign in');
  const field = useRef<HTMLInputElement>(null);
  const fieldId = useId();
  const client = useQueryClient();
  const enter = useMutation({
    mutationFn: (key: string) => signIn({ key }),
    onSuccess: () => client.invalidateQueries(),
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const key = field.current?.value.trim() ?? '';
    if (key === '') field.current?.focus();
    else enter.mutate(key);
  };
  const trouble = enter.error ?? failed;
  return (
    <main className="mx-auto flex min-h-dvh max-w-sm flex-col justify-center gap-5 p-6">
      <div className="flex items-center gap-2.5">
        <Logo size={28} />
        <h1 className="text-lg font-semibold">Sign in to Plinth</h1>
      </div>
      {ended && !trouble ? <p role="alert">Your session has ended. Sign in again to go on where you were.</p> : null}
      {trouble ? <Trouble error={trouble} signedOut /> : null}
      <form method="post" className="card flex flex-col gap-3 p-5" onSubmit={submit}>
        {/* For password managers, which keep a secret under a name. */}
        <input type="text" autoComplete="username" defaultValue="Plinth" hidden />
        <label htmlFor={fieldId} className="font-medium">
          API key
        </label>
        <input ref={field} id={fieldId} type="password" autoComplete="current-password" spellCheck={false} placeholder="plk_…" className="field font-mono" />
        <button type="submit" className="btn btn-main" disabled={enter.isPending}>
          {enter.isPending ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
      <p className="text-soft">
        <code className="font-mono text-xs text-text">npm start</code> prints the admin key and a link that signs in once; on a server{' '}
        <code className="font-mono text-xs text-text">plinth login</code> does. The key is exchanged for a cookie that scripts cannot read; it is not kept in
        the browser.
      </p>
    </main>
  );
}
