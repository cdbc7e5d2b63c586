import { join } from 'node:path';
import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/**
 * The console is static files under /console with a strict content security policy: nothing inline, nothing from elsewhere.
 * `npm run dev -w apps/console` serves it with reloading and sends API calls to a running Plinth on port 4400.
 */
export default defineConfig({
  root: import.meta.dirname,
  base: '/console/',
  plugins: [react(), tailwindcss()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    // Two pages: the console, and the customer portal, which shares only React with it.
    rolldownOptions: { input: [join(import.meta.dirname, 'index.html'), join(import.meta.dirname, 'portal.html')] },
    target: 'es2024',
    // A data: URL would need a hole in the policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { port: 4401, proxy: { '/api': 'http://127.0.0.1:4400', '/docs': 'http://127.0.0.1:4400' } },
});
