import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VmError } from '@vm/core';
import { explainFileError } from './host-file.ts';
import { makeFolder } from './host-folder.ts';

const LOOK_AGAIN_MS = 200;
const MOST_LOOKS_AT_NAMELESS = 25;

/** Runs `work` while no other process runs its own under the same lock file. `onWait` is told once when somebody else does. */
export async function withFileLock<T>(path: string, onWait: (owner: number) => void, work: () => Promise<T>): Promise<T> {
  makeFolder(dirname(path));
  let nameless = 0;
  for (let told = false; !tryLock(path); ) {
    const owner = Number(readText(path));
    // A lock without a name is being made or left; if it stays so, its owner died before it could write.
    if (owner === 0) nameless++;
    if (owner > 0 ? !isAlive(owner) : nameless > MOST_LOOKS_AT_NAMELESS) {
      nameless = 0;
      rmSync(path, { force: true });
      continue;
    }
    if (!told) onWait(owner);
    told = true;
    await delay(LOOK_AGAIN_MS);
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

function tryLock(path: string): boolean {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new VmError('E_HOST', `cannot write ${path}: ${explainFileError(error)}`, { cause: error });
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function isAlive(process_: number): boolean {
  try {
    process.kill(process_, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
