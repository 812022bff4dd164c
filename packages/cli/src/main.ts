#!/usr/bin/env node
import { setV8Flags } from '@vm/vcpu-wasm/node';
import { runCli } from './cli.ts';

setV8Flags();
process.exitCode = await runCli(process.argv.slice(2));
