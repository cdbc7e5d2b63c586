import pg from 'pg';
import { expect, test } from 'vitest';
import { as } from './database.ts';

test.each([
  ['postgres://admin:old@db.test:6000/shop?application_name=x', { host: 'db.test', port: 6000 }],
  ['postgresql:///shop?host=/run/postgresql', { host: '/run/postgresql', port: 5432 }],
  ['postgres://db.test/shop?user=admin&password=old', { host: 'db.test', port: 5432 }],
  ['postgres://admin@[::1]:6000/shop', { host: '::1', port: 6000 }],
])('the role that serves takes the place of the one that installs in %s', (url, place) => {
  const { user, password, host, port, database } = new pg.Client({ connectionString: as(url, 'plinth_server', 'p@:/?#%20+ w') });
  expect({ user, password, host, port, database }).toEqual({ user: 'plinth_server', password: 'p@:/?#%20+ w', database: 'shop', ...place });
});
