// Sets the theme before the first paint; a file of its own because the content security policy allows nothing inline.
(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem('plinth.theme');
    } catch {
      // Storage may be closed to us; the system's theme is right then.
    }
    document.documentElement.classList.toggle('dark', chosen === 'dark' || (chosen !== 'light' && dark.matches));
  };
  apply();
  dark.addEventListener('change', apply);
  addEventListener('storage', apply);
  addEventListener('plinth:theme', apply);
})();
