export type { ErasedTenant, EraseTenantOptions } from './erase-tenant.ts';
export { eraseTenant, tenantRows } from './erase-tenant.ts';
export { maintenanceHealth } from './health.ts';
export type { MaintainOptions, MaintenanceServices, PartitionHealth, RunReport, Task } from './maintain.ts';
export { maintain, partitionHealth, partitionWarnings } from './maintain.ts';
