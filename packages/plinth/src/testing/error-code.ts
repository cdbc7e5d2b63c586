import { TRPCError } from '@trpc/server';
import { PlinthError, toPlinthError } from '#kernel/errors.ts';
import { rpcFailure } from '#kernel/rpc.ts';

/**
 * Code of the error that a call ends with, of the effect's own where one failed; SQLSTATE when the database says something that is not in
 * the catalogue; `no error` when it succeeds.
 */
export async function errorCode(call: Promise<unknown> | undefined): Promise<string> {
  try {
    await call;
    return 'no error';
  } catch (error) {
    const raw = (error as { code?: string }).code ?? '';
    if (!(error instanceof PlinthError || error instanceof TRPCError || raw.startsWith('PL'))) return raw;
    const known = error instanceof TRPCError ? rpcFailure(error) : toPlinthError(error);
    return String(known.detail.effect_code ?? known.code);
  }
}
