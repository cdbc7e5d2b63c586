import { useEffect, useRef } from 'react';
import { store, stored } from './storage.ts';

/** Every shortcut, for the help; `keys` as people read them. */
export const shortcuts: readonly { keys: string; does: string; where: string }[] = [
  { keys: 'Ctrl K', does: 'Find anything by id, prefix, correlation id or entity', where: 'Everywhere' },
  { keys: '/', does: 'The same', where: 'Everywhere' },
  { keys: 'h', does: 'First page', where: 'Everywhere' },
  { keys: 'l', does: 'Live or paused', where: 'Everywhere' },
  { keys: '?', does: 'This help', where: 'Everywhere' },
  { keys: 'j  k', does: 'Next and previous row', where: 'Lists' },
  { keys: 'Enter', does: 'Open the row', where: 'Lists' },
  { keys: 'f', does: 'Filter', where: 'Lists' },
  { keys: 'n  p', does: 'Older and newer page', where: 'Lists' },
  { keys: '↓  ↑', does: 'Next and previous record', where: 'Trace' },
  { keys: '→  ←', does: 'To what it caused, and back to its cause', where: 'Trace' },
  { keys: 'Enter', does: 'Look closer; Escape goes back', where: 'Trace' },
  { keys: 'f', does: 'Next failure', where: 'Trace' },
  { keys: 'c', does: 'Copy the story as text', where: 'Trace' },
];

/** Single keys can be switched off for people whose tools send them by accident (WCAG 2.1.4); Ctrl K stays. */
export const singleKeysOn = (): boolean => stored('single-keys') !== 'off';
export const setSingleKeys = (on: boolean): void => store('single-keys', on ? undefined : 'off');

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** Runs `handler` on a single key, never while somebody types, in a dialog, or with a modifier held. */
export function useShortcut(key: string, handler: () => void): void {
  const latest = useRef(handler);
  useEffect(() => {
    latest.current = handler;
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      if (event.key !== key || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isTyping(event.target) || document.querySelector('dialog[open]') || !singleKeysOn()) return;
      event.preventDefault();
      latest.current();
    };
    document.addEventListener('keydown', listen);
    return () => document.removeEventListener('keydown', listen);
  }, [key]);
}

/** Runs `handler` on Ctrl or Command with a key, anywhere. */
export function useCommand(key: string, handler: () => void): void {
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      if (event.key.toLowerCase() !== key || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
      event.preventDefault();
      handler();
    };
    document.addEventListener('keydown', listen);
    return () => document.removeEventListener('keydown', listen);
  }, [key, handler]);
}
