import { api } from './client.ts';

const nobody = { tenant: undefined, reason: undefined };

/** Exchanges a one-time token or an API key for the session's cookie. */
export const signIn = (credential: { token: string } | { key: string }): Promise<unknown> =>
  api(nobody, '/console/login', { method: 'POST', body: credential });
export const signOut = (): Promise<unknown> => api(nobody, '/console/logout', { method: 'POST', body: {} });
