import { type ReactNode, useState } from 'react';
import { Dialog } from '../parts/Dialog.tsx';
import { setSingleKeys, shortcuts, singleKeysOn } from '../shortcuts.ts';

export function HelpDialog({ onClose }: { onClose: () => void }): ReactNode {
  const [single, setSingle] = useState(singleKeysOn);
  const groups = Map.groupBy(shortcuts, (shortcut) => shortcut.where);
  return (
    <Dialog title="Shortcuts" onClose={onClose} className="w-[min(34rem,calc(100vw-2rem))]">
      <div className="grid gap-x-8 gap-y-4 px-4 py-3">
        {[...groups].map(([where, group]) => (
          <section key={where}>
            <h3 className="pb-1 text-xs font-medium text-soft">{where}</h3>
            <dl className="grid grid-cols-[5.5rem_1fr] gap-y-1">
              {group.map(({ keys, does }) => (
                <div key={keys} className="contents">
                  <dt>
                    <kbd className="rounded border border-line bg-ground px-1.5 py-px font-sans text-xs whitespace-pre">{keys}</kbd>
                  </dt>
                  <dd>{does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <label className="flex items-center gap-2 border-t border-line pt-3">
          <input
            type="checkbox"
            checked={single}
            onChange={(event) => {
              setSingleKeys(event.target.checked);
              setSingle(event.target.checked);
            }}
          />
          Single keys act (Ctrl K always does)
        </label>
      </div>
    </Dialog>
  );
}
