// A lock between processes: a directory, because making one either succeeds for exactly one process or fails.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const POLL_MS = 200;

/** Runs `work` while no other process holds `path`. A lock whose owner died is taken over. */
export function withLock(path, work) {
  let told = false;
  while (!take(path)) {
    if (!told) console.error('waiting for another command to finish preparing this checkout');
    told = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
  }
  try {
    return work();
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

function take(path) {
  try {
    mkdirSync(path);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    breakIfAbandoned(path);
    return false;
  }
  writeFileSync(join(path, 'owner'), String(process.pid));
  return true;
}

function breakIfAbandoned(path) {
  let owner;
  try {
    owner = Number(readFileSync(join(path, 'owner'), 'utf8'));
  } catch {
    return; // made this instant, or just released
  }
  if (!Number.isInteger(owner) || owner <= 0 || isAlive(owner)) return;
  // Renaming decides between several processes that found the same dead owner.
  const grave = `${path}.${process.pid}`;
  try {
    renameSync(path, grave);
  } catch {
    return;
  }
  rmSync(grave, { recursive: true, force: true });
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
