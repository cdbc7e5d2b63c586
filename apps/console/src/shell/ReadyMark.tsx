import { useIsFetching } from '@tanstack/react-query';
import { useEffect } from 'react';

const quietMs = 100;

/** Says on `<html>` when the page has what it asked for and listens to keys, for tests and other robots that would wait by guess. */
export function ReadyMark(): null {
  const fetching = useIsFetching() > 0;
  useEffect(() => {
    if (fetching) {
      delete document.documentElement.dataset.ready;
      return undefined;
    }
    // An answer often leads to the next question.
    const timer = setTimeout(() => {
      document.documentElement.dataset.ready = 'true';
    }, quietMs);
    return () => clearTimeout(timer);
  }, [fetching]);
  return null;
}
