/** What every check is: a name, and a run that says how much it looked at and what it found. */

export type Outcome = {
  /** How many things were looked at. A check that looked at nothing fails, whatever it found. */
  looked: number;
  /** What those things are: 'files', 'imports and SQL names', ... */
  what: string;
  /** One line each: place, what is wrong, and the way out where it is not plain. */
  faults: string[];
};

export type Check = {
  name: string;
  /** One sentence: what passing promises. */
  promise: string;
  /** The least it must have looked at on this repository; 1 unless told. */
  atLeast?: number;
  run: (folder: string) => Promise<Outcome> | Outcome;
};

/** The faults of an outcome, with the fault of having looked at too little added. */
export function verdict(check: Check, outcome: Outcome): string[] {
  const least = Math.max(1, check.atLeast ?? 1);
  if (outcome.looked >= least) return outcome.faults;
  return [...outcome.faults, `${check.name} looked at ${outcome.looked} ${outcome.what} and expects at least ${least}: the check itself is broken`];
}
