#!/usr/bin/env node
import { hintBranches } from '@vm/vcpu-wasm/node';
import { runCli } from './cli.ts';

hintBranches();
process.exitCode = await runCli(process.argv.slice(2));
