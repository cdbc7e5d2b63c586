/** `plinth/react`: parts for React. */
import { useEffect, useRef, useState } from 'react';
import type { RealtimeClientOptions, RealtimeListener, RealtimeState } from '../client/realtime.ts';
import { realtime } from '../client/realtime.ts';

export interface UseTopicOptions<Payload> extends Omit<RealtimeClientOptions, 'topics'>, Omit<RealtimeListener<Payload>, 'onState'> {
  /** False: not connected. Default true. */
  enabled?: boolean;
}

/**
 * Listens to a topic, or several, while the component is mounted. Callbacks may change with every render; another topic, address or offset
 * connects anew, another credential goes on where the one before stood. Give the `Plinth-Offset` of the data that the component shows, so that
 * nothing falls between, and load them anew in `onReset`.
 *
 * @example
 * const state = useTopic(`stream/order/${encodeURIComponent(id)}`, { offset, onEvent: (event) => merge(event), onReset: () => reload() });
 */
export function useTopic<Payload = Record<string, unknown>>(topic: string | readonly string[], options: UseTopicOptions<Payload>): RealtimeState {
  const [told, setTold] = useState<{ key: string; state: RealtimeState }>();
  const latest = useRef(options);
  useEffect(() => {
    latest.current = options;
  });
  const topics = typeof topic === 'string' ? topic : topic.join('\n');
  const { url, token, tenantId, reason, offset, enabled = true } = options;
  const place = JSON.stringify([topics, url, tenantId, offset]);
  const stood = useRef<{ place: string; offset: string | undefined }>(undefined);
  // A function that gives tokens may be another one with every render: the newest is asked.
  const credential = typeof token === 'function' ? 'asked' : token;
  // What was told of another connection says nothing of this one.
  const key = JSON.stringify([place, credential, reason]);
  useEffect(() => {
    if (!enabled) return undefined;
    let listening = true;
    const ask = async (): Promise<string> => {
      const given = latest.current.token;
      return (typeof given === 'function' ? await given() : given) ?? '';
    };
    const from = stood.current?.place === place ? (stood.current.offset ?? offset) : offset;
    const given = { url, tenantId, reason, offset: from, topics: topics.split('\n'), token: credential === 'asked' ? ask : credential };
    const client = realtime<Payload>({ ...latest.current, ...given } as RealtimeClientOptions, {
      onEvent: (event) => latest.current.onEvent(event),
      onReset: (reset) => latest.current.onReset?.(reset),
      onRefused: (problem) => latest.current.onRefused?.(problem),
      onError: (error) => (latest.current.onError ?? console.error)(error),
      onState: (state) => listening && setTold({ key, state }),
    });
    return () => {
      stood.current = { place, offset: client.offset };
      // What this one was says nothing of the next: in strict mode, or enabled again.
      listening = false;
      client.close();
      setTold(undefined);
    };
  }, [key, place, topics, url, credential, tenantId, reason, offset, enabled]);
  if (!enabled) return 'closed';
  return told?.key === key ? told.state : 'connecting';
}
