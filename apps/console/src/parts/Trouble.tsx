import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { asProblem } from '../api/problem.ts';
import { shortId } from '../format.ts';
import { Icon } from './icons.tsx';

/** What failed, the way out, and the story of the failed call where there can be one; else its id, by which the log of the server is searched. */
export function Trouble({ error, retry, signedOut = false }: { error: unknown; retry?: (() => void) | undefined; signedOut?: boolean }): ReactNode {
  const problem = asProblem(error);
  const traced = problem.mayHaveWritten && !signedOut;
  return (
    <div role="alert" className="card flex gap-3 border-bad p-4">
      <span className="pt-0.5 text-bad">
        <Icon name="alert" size={16} />
      </span>
      <div className="min-w-0">
        <p className="font-semibold">{problem.message}</p>
        {problem.wayOut ? <p className="mt-0.5 text-soft">{problem.wayOut}</p> : null}
        <p className="mt-2 flex flex-wrap items-center gap-x-3 gap-y-1">
          {retry ? (
            <button type="button" className="btn" onClick={retry}>
              <Icon name="refresh" /> Try again
            </button>
          ) : null}
          <span className="font-mono text-xs text-soft">{problem.code}</span>
          {problem.correlationId && !traced ? <span className="font-mono text-xs break-all text-soft">{problem.correlationId}</span> : null}
          {problem.correlationId && traced ? (
            <Link to="/trace/$id" params={{ id: problem.correlationId }} className="link underline">
              Trace {shortId(problem.correlationId)}
            </Link>
          ) : null}
        </p>
      </div>
    </div>
  );
}
