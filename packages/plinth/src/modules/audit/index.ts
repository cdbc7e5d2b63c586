export type { AuditEffects, AuditEntry } from './audit.ts';
