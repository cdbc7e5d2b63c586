import { toPlinthError } from './errors.ts';
import type { Feed } from './feed-read.ts';
import { messageOf } from './thrown.ts';
import type { AnyTransaction } from './transaction.ts';
import type { FeedEvent } from './work.ts';

/** What a handler was told, as far as its error may repeat it. */
export interface Told {
  /** It was given what is stored encrypted, because a person may have it erased. */
  revealed: boolean;
}

/** Events as their handler gets them. */
export async function opened(tx: AnyTransaction, feed: Feed, events: readonly FeedEvent[], told: Told): Promise<readonly FeedEvent[]> {
  const readable = await feed.open(tx, events);
  told.revealed = readable.some((event, index) => event !== events[index]);
  return readable;
}

/** A lost connection or a deadlock says nothing about the events. */
export const blamesHandler = (error: unknown): boolean => !['kernel_unavailable', 'kernel_serialization'].includes(toPlinthError(error).code);

const WORD = /^[A-Za-z0-9_.-]{1,100}$/;

/**
 * What is kept of an error. Messages quote what they complain of, and this text outlives an erasure: of a handler that was given encrypted values only
 * words of a program are kept, the class of the error and its code.
 */
export function textOf(error: unknown, told: Told): string {
  if (!told.revealed) return messageOf(error);
  const { name, code } = (typeof error === 'object' && error !== null ? error : {}) as { name?: unknown; code?: unknown };
  const words = [name, code].filter((word): word is string => typeof word === 'string' && WORD.test(word));
  return `${words.join(' ') || 'Error'}: what it says is not kept, because the event has personal fields`;
}
