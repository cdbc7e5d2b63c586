import { type ReactNode, useState } from 'react';
import { Icon, type IconName } from '../parts/icons.tsx';
import { store, stored } from '../storage.ts';

const next = { system: 'light', light: 'dark', dark: 'system' } as const;
type Theme = keyof typeof next;
const looks: Record<Theme, { icon: IconName; word: string }> = {
  system: { icon: 'screen', word: 'as the system' },
  light: { icon: 'sun', word: 'light' },
  dark: { icon: 'moon', word: 'dark' },
};

const current = (): Theme => {
  const theme = stored('theme');
  return theme === 'light' || theme === 'dark' ? theme : 'system';
};

/** System, light, dark, in turn. The file theme.js applies what is stored. */
export function ThemeButton(): ReactNode {
  const [theme, setTheme] = useState(current);
  const change = (): void => {
    const chosen = next[theme];
    store('theme', chosen === 'system' ? undefined : chosen);
    setTheme(chosen);
    dispatchEvent(new Event('plinth:theme'));
  };
  return (
    <button type="button" className="btn btn-quiet px-2" aria-label={`Theme: ${looks[theme].word}`} title={`Theme: ${looks[theme].word}`} onClick={change}>
      <Icon name={looks[theme].icon} size={15} />
    </button>
  );
}
