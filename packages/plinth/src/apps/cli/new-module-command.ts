import { defineCommand } from 'citty';
import { newModule } from './new-module.ts';
import { dim, green, say, told } from './output.ts';

export const newModuleCommand = defineCommand({
  meta: { name: 'new-module', description: 'Write a module that passes every check.' },
  args: {
    name: { type: 'positional', required: true, description: 'Lower case letters and digits, a letter first' },
    json: { type: 'boolean', description: 'For programs' },
  },
  run: ({ args }) =>
    told(async () => {
      const files = await newModule({ root: process.cwd(), name: args.name });
      if (args.json) return say(JSON.stringify({ files }));
      for (const file of files) say(`  ${green('✔')} ${file}`);
      say(dim('  Next: npm run check, then npm test.'));
    })(undefined),
});
