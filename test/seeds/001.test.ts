/** Seed 001: the notifications database. Both of its tables belong to modules still to come; nothing of it is executed yet. */
import { afterAll, beforeAll } from 'vitest';
import { promiseSeed, promiseTables, type SeedDatabase, seedDatabase, snippetsOf } from './seed.ts';

let database: SeedDatabase;
beforeAll(async () => {
  database = await seedDatabase('seed 001');
});
afterAll(() => database.drop());

const notifications = { module: 'notifications', needs: ['notifications'] };
const incidents = { module: 'incidents', needs: ['admin_system_events'] };

promiseSeed({
  snippets: snippetsOf('001'),
  database: () => database,
  executed: {},
  pending: {
    'Table: notifications: CREATE TABLE notifications (': notifications,
    'Table: notifications: CREATE INDEX idx_notifications_user_tenant_created': notifications,
    'Table: notifications: CREATE INDEX idx_notifications_unread': notifications,
    'Table: admin_system_events: CREATE TABLE admin_system_events (': incidents,
    'Table: admin_system_events: CREATE INDEX idx_admin_system_events_created': incidents,
    'Table: admin_system_events: CREATE INDEX idx_admin_system_events_tenant': incidents,
    'Table: admin_system_events: CREATE INDEX idx_admin_system_events_severity': incidents,
  },
});

promiseTables(() => database, [], { notifications: ['notifications'], incidents: ['admin_system_events', 'open_incident', 'resolve_incident'] });
