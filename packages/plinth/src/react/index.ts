/** `plinth/react`: parts for React. */
import { useEffect, useRef, useState } from 'react';
import type { RealtimeClientOptions, RealtimeListener, RealtimeState } from '../client/realtime.ts';
import { realtime } from '../client/realtime.ts';

export interface UseTopicOptions<Payload> extends Omit<RealtimeClientOptions, 'topics'>, Omit<RealtimeListener<Payload>, 'onState'> {
  /** False: not connected. Default true. */
  enabled?: boolean;
}

/**
 * Listens to a topic, or several, while the component is mounted. Callbacks may change with every render; another topic, address or credential
 * connects anew. Give the `Plinth-Offset` of the data that the component shows, so that nothing falls between, and load them anew in `onReset`.
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
  // What was told of another connection says nothing of this one.
  const key = JSON.stringify([topics, url, token, tenantId, reason, offset]);
  useEffect(() => {
    if (!enabled) return undefined;
    const client = realtime<Payload>({ ...latest.current, url, token, tenantId, reason, offset, topics: topics.split('\n') } as RealtimeClientOptions, {
      onEvent: (event) => latest.current.onEvent(event),
      onReset: (reset) => latest.current.onReset?.(reset),
      onRefused: (problem) => latest.current.onRefused?.(problem),
      onState: (state) => setTold({ key, state }),
    });
    return () => client.close();
  }, [key, topics, url, token, tenantId, reason, offset, enabled]);
  if (!enabled) return 'closed';
  return told?.key === key ? told.state : 'connecting';
}
