#!/usr/bin/env node
import { setV8Flags } from '@vm/vcpu-wasm/node';
import { keepCompiledCode } from './compiled-code.ts';

// Before the rest is loaded, which is most of it.
setV8Flags();
keepCompiledCode();
const { runCli } = await import('./cli.ts');
process.exitCode = await runCli(process.argv.slice(2));
