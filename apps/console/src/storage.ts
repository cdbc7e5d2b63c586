/** Small choices of one person on one machine. Storage may be closed to us (private windows): then they last for the page. */
const page = new Map<string, string>();

export function stored(name: string): string | undefined {
  try {
    return localStorage.getItem(`plinth.${name}`) ?? undefined;
  } catch {
    return page.get(name);
  }
}

export function store(name: string, value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(`plinth.${name}`);
    else localStorage.setItem(`plinth.${name}`, value);
  } catch {
    if (value === undefined) page.delete(name);
    else page.set(name, value);
  }
}
