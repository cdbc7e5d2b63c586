export { maintenanceHealth } from './health.ts';
export type { MaintainOptions, MaintenanceServices, PartitionHealth, RunReport, Task } from './maintain.ts';
export { maintain, partitionHealth, partitionWarnings } from './maintain.ts';
