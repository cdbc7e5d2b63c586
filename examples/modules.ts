/** Modules written as an application would write its own; `plinth dev` serves them beside Plinth's. */
import type { ModuleMap } from 'plinth/module';
import demo from './demo/module.ts';
import github from './github/module.ts';

export const examples: ModuleMap = { demo, github };
