import { type ReactNode, useState } from 'react';
import { shortId } from '../format.ts';
import { Icon } from './icons.tsx';
import { useToast } from './toast.tsx';

/** Puts text on the clipboard, also where the page is not served over TLS and the clipboard API is missing. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const before = document.activeElement;
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'sr-only';
  (document.querySelector('dialog[open]') ?? document.body).append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  if (!done) throw new Error('not copied');
}

/** A button that copies. `children` is what it shows; without any, an icon. */
export function CopyButton({ text, label, className = '', children }: { text: string; label: string; className?: string; children?: ReactNode }): ReactNode {
  const toast = useToast();
  const [done, setDone] = useState(false);
  const copy = async (): Promise<void> => {
    try {
      await copyText(text);
      setDone(true);
      toast({ text: `${label}: copied` });
    } catch {
      toast({ text: 'The browser does not allow copying here', bad: true });
    }
  };
  return (
    <button
      type="button"
      className={
        children ? className : `relative z-1 inline-flex size-6 items-center justify-center rounded text-soft hover:bg-sunken hover:text-text ${className}`
      }
      aria-label={children ? undefined : label}
      title={children ? undefined : label}
      onClick={copy}
      onBlur={() => setDone(false)}
    >
      {children ?? <Icon name={done ? 'check' : 'copy'} size={13} />}
    </button>
  );
}

/** An id, shortened, with its whole text as title and a button that copies it. */
export function Id({ value, whole = false, name = 'id' }: { value: string; whole?: boolean; name?: string }): ReactNode {
  return (
    <span className="inline-flex items-center gap-0.5 font-mono text-xs">
      <span title={value} className={whole ? 'break-all' : 'whitespace-nowrap'}>
        {whole ? value : shortId(value)}
      </span>
      <CopyButton text={value} label={`Copy ${name}`} />
    </span>
  );
}
