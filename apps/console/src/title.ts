import { useEffect } from 'react';

/** Title of the browser's tab: the page first, so that many tabs can be told apart. */
export function useTitle(title: string): void {
  useEffect(() => {
    const before = document.title;
    document.title = `${title} · Plinth`;
    return () => {
      document.title = before;
    };
  }, [title]);
}
