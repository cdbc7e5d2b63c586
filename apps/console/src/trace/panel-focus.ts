/** Between the story and the panel of its chosen record the keyboard goes there and back. */
export const panelId = 'record';

export const focusPanel = (): void => document.getElementById(panelId)?.focus();

export const focusRecord = (id: string): void => document.querySelector<HTMLElement>(`[data-record="${CSS.escape(id)}"]`)?.focus();
