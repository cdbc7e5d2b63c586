import { createRootRoute, createRoute, createRouter, Navigate, retainSearchParams } from '@tanstack/react-router';
import { DetailPage } from './pages/Detail.tsx';
import { HomePage } from './pages/Home.tsx';
import { ListPage } from './pages/List.tsx';
import { MissingPage } from './pages/Missing.tsx';
import { TracePage } from './pages/Trace.tsx';
import { limits } from './paging.ts';
import { Gate } from './shell/Gate.tsx';

/** The URL is the state: page, tenant, filter, place in a list, chosen row. All values are plain text. */
type Search = Record<string, unknown>;
const text = (search: Search, name: string): string | undefined => (typeof search[name] === 'string' && search[name] !== '' ? search[name] : undefined);
/** Without the parts that are not there, so that they leave the URL. */
const present = <T extends object>(search: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };

const root = createRootRoute({
  validateSearch: (search: Search) => present({ tenant: text(search, 'tenant') }),
  search: { middlewares: [retainSearchParams(['tenant'])] },
  component: Gate,
  notFoundComponent: () => <MissingPage />,
});

const home = createRoute({ getParentRoute: () => root, path: '/', component: HomePage });

/** Where the one-time link leads; the gate has taken its token by then. */
const login = createRoute({ getParentRoute: () => root, path: '/login', component: () => <Navigate to="/" replace /> });

const list = createRoute({
  getParentRoute: () => root,
  path: '/lists/$module/$list',
  validateSearch: (search: Search) => {
    const limit = text(search, 'limit');
    return present({ q: text(search, 'q'), cursor: text(search, 'cursor'), limit: limits.find((each) => each === limit) });
  },
  component: ListPage,
});

const detail = createRoute({ getParentRoute: () => root, path: '/lists/$module/$list/$id', component: DetailPage });

const trace = createRoute({
  getParentRoute: () => root,
  path: '/trace/$id',
  validateSearch: (search: Search) => present({ row: text(search, 'row'), kind: text(search, 'kind') }),
  component: TracePage,
});

/** Plain `a=b`, without the JSON that the router would write, and with the signs of filters left readable. */
const parseSearch = (search: string): Search => Object.fromEntries(new URLSearchParams(search));
const stringifySearch = (search: Search): string => {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) if (value !== undefined && value !== '') params.set(name, String(value));
  const written = params.toString().replaceAll('%3A', ':').replaceAll('%2C', ',').replaceAll('%2F', '/');
  return written === '' ? '' : `?${written}`;
};

export const router = createRouter({
  routeTree: root.addChildren([home, login, list, detail, trace]),
  basepath: '/console',
  parseSearch,
  stringifySearch,
  scrollRestoration: true,
  defaultPreload: false,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
