import type { ReactNode } from 'react';
import { type Tone, toneOf } from '../status.ts';
import { Icon, type IconName } from './icons.tsx';

const looks: Record<Tone, { icon: IconName; className: string }> = {
  ok: { icon: 'check', className: 'bg-ok-soft text-ok' },
  bad: { icon: 'cross', className: 'bg-bad-soft text-bad' },
  warn: { icon: 'alert', className: 'bg-warn-soft text-warn' },
  run: { icon: 'play', className: 'bg-run-soft text-run' },
  wait: { icon: 'clock', className: 'bg-sunken text-soft' },
  plain: { icon: 'dot', className: 'bg-sunken text-soft' },
};

/** A state in its own word, with a shape and a colour for its kind. */
export function Status({ value }: { value: string }): ReactNode {
  const { icon, className } = looks[toneOf(value)];
  return (
    <span className={`inline-flex items-center gap-1 rounded px-1.5 text-xs leading-5 font-medium whitespace-nowrap ${className}`}>
      <Icon name={icon} size={12} />
      {value.replaceAll('_', ' ')}
    </span>
  );
}
