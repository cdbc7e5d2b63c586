import type { ApiRecord, ModuleMap } from '#kernel/module.ts';

export const recordsApi = (_modules: ModuleMap): ApiRecord => ({});
