import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { defaultCacheFolder } from './cache-folder.ts';

/**
 * From now on, what V8 makes of a module is taken from an earlier run, as long as the module, Node.js and the options of V8 are the
 * same, and it is kept at the end of this one. The folder is the user's own: the default of Node.js lies where others of the host may
 * write, and what stands there is run. NODE_COMPILE_CACHE names another, NODE_DISABLE_COMPILE_CACHE=1 turns it off, and where the
 * folder cannot be written nothing is kept and nothing said.
 */
export function keepCompiledCode(): void {
  enableCompileCache(process.env['NODE_COMPILE_CACHE'] || join(defaultCacheFolder(), 'compiled'));
}
