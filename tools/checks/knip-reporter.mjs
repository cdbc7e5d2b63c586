/** Prints what knip found, one line each, and how many files it looked at, which its own reporters keep to themselves. */
import { relative } from 'node:path';

/** @param {{ issues: Record<string, unknown>, counters: { processed: number }, cwd: string }} options */
const report = ({ issues, counters, cwd }) => {
  console.log(`looked at ${counters.processed}`);
  for (const [kind, byFile] of Object.entries(issues)) {
    if (byFile instanceof Set) continue;
    for (const [file, bySymbol] of Object.entries(byFile ?? {})) {
      for (const [symbol, issue] of Object.entries(bySymbol)) {
        const place = relative(cwd, issue.filePath ?? file);
        console.log(kind === 'files' ? `${place}: nothing imports this file` : `${place}:${issue.line ?? 1}: unused ${kind}: ${symbol}`);
      }
    }
  }
};

export default report;
