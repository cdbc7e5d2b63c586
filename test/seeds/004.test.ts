/** Seed 004: the guide to the five tiers. It is prose without any statement; what it names are tables, each of a module still to come. */
import { afterAll, beforeAll } from 'vitest';
import { promiseTables, type SeedDatabase, seedDatabase } from './seed.ts';

let database: SeedDatabase;
beforeAll(async () => {
  database = await seedDatabase('seed 004');
});
afterAll(() => database.drop());

promiseTables(() => database, [], {
  content: ['content_objects', 'attachments'],
  warehouse: [
    'billing_analytics',
    'campaign_analytics',
    'mailbox_analytics',
    'lead_analytics',
    'warmup_analytics',
    'sequence_step_analytics',
    'admin_audit_log',
  ],
  notifications: ['notifications'],
  incidents: ['admin_system_events'],
});
