import { fail } from '#kernel/errors.ts';
import type { LiveEvent } from '#modules/events';
import { isEventType } from '#modules/events';

/** `events/order.*` by type, `stream/order/4711` one stream. */
export type Topic = { text: string; pattern: string } | { text: string; stream: string };

const MOST_TOPICS = 100;
const MOST_WORDS = 16;

const refuse = (text: string, why: string) => fail('topic_invalid', { message: `${JSON.stringify(text.slice(0, 100))} is not a topic: ${why}` });

const decoded = (text: string, part: string): string => {
  try {
    return decodeURIComponent(part);
  } catch {
    throw refuse(text, 'a % is not followed by two hexadecimal digits');
  }
};

/** Neither half holds a NUL byte, so nothing else has the same key. */
const streamKey = (type: string, id: string): string => `${type}\0${id}`;

/** A topic as callers write it. `*` stands for one word of a type, `#` at the end for any number. Errors: kernel_topic_invalid. */
export function parseTopic(text: string): Topic {
  const [kind, first = '', second = '', ...more] = text.split('/');
  if (kind === 'events' && more.length === 0 && second === '' && !text.endsWith('/')) {
    const words = first.split('.');
    const plain = words.map((word, nth) => (word === '*' || (word === '#' && nth === words.length - 1) ? 'x' : word)).join('.');
    if (!isEventType(plain) || words.length > MOST_WORDS) throw refuse(text, 'after events/ stands a pattern such as order.created, order.* or order.#');
    return { text, pattern: first };
  }
  if (kind === 'stream' && first !== '' && second !== '' && more.length === 0) {
    const [type, id] = [decoded(text, first), decoded(text, second)];
    if (type.length > 500 || id.length > 500 || `${type}${id}`.includes('\0')) throw refuse(text, 'type and id of a stream have 1 to 500 characters');
    return { text, stream: streamKey(type, id) };
  }
  throw refuse(text, 'write events/<pattern> or stream/<type>/<id>');
}

/** Errors: kernel_topic_invalid. */
export function parseTopics(texts: readonly string[]): Topic[] {
  const distinct = [...new Set(texts)].sort();
  if (distinct.length === 0) throw fail('topic_invalid', { message: 'No topic was named' });
  if (distinct.length > MOST_TOPICS) throw fail('topic_invalid', { message: `A connection has at most ${MOST_TOPICS} topics, not ${distinct.length}` });
  return distinct.map(parseTopic);
}

const escaped = (word: string): string => word.replaceAll(/[^A-Za-z0-9_]/g, '\\$&');

/** `order.#` also matches `order`, as in subscriptions to webhooks. */
export function patternMatcher(pattern: string): (type: string) => boolean {
  if (!/[*#]/.test(pattern)) return (type) => type === pattern;
  if (pattern === '#') return () => true;
  const open = pattern.endsWith('.#');
  const words = (open ? pattern.slice(0, -2) : pattern).split('.').map((word) => (word === '*' ? '[^.]+' : escaped(word)));
  const expression = new RegExp(`^${words.join('\\.')}${open ? '(?:\\..+)?' : ''}$`);
  return (type) => expression.test(type);
}

/** Whether an event belongs to one of the topics. */
export function topicsMatcher(topics: readonly Topic[]): (event: LiveEvent) => boolean {
  const streams = new Set(topics.flatMap((topic) => ('stream' in topic ? [topic.stream] : [])));
  const patterns = topics.flatMap((topic) => ('pattern' in topic ? [patternMatcher(topic.pattern)] : []));
  // Types are few and come again and again.
  const known = new Map<string, boolean>();
  const byType = (type: string): boolean => {
    const before = known.get(type);
    if (before !== undefined) return before;
    const found = patterns.some((matches) => matches(type));
    if (known.size < 1_000) known.set(type, found);
    return found;
  };
  return (event) =>
    (patterns.length > 0 && byType(event.type)) ||
    (streams.size > 0 && event.aggregateId !== null && streams.has(streamKey(event.aggregateType ?? '', event.aggregateId)));
}
