/** What commands are given: `plinth projections list --modules test/package/plinth.modules.ts`. */
import { shop } from './shop.ts';

export default [shop];
