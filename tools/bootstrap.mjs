// Brings a fresh checkout to the point where its own Node.js, pnpm and dependencies are there.
// Runs on Node 18 and later with npm beside it; needs the npm registry and nothing installed globally.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.mjs';

const TOOLS = dirname(fileURLToPath(import.meta.url));
export const ROOT = dirname(TOOLS);
const BIN = join(TOOLS, '.bin');
const MODULES = join(TOOLS, 'node_modules');
const PLATFORM = `${process.platform}-${process.arch}`;
const PINNED_PNPM = join(MODULES, '@pnpm', `exe.${PLATFORM}`, 'pnpm');
const PINNED_NODE = join(MODULES, `node-${PLATFORM}`, 'bin', 'node');
const OLDEST_NODE = [24, 11]; // what tsup and vitest take of the 24 line
const FETCH_ATTEMPTS = 3;
const CERTIFICATE_BUNDLES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'];

/** The environment of everything started from here: our tools first, and none of the settings npm hands to scripts. */
export function environment() {
  const env = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!/^npm_(config|package|lifecycle|execpath|node_execpath|command)/i.test(name)) env[name] = value;
  }
  env.PATH = [BIN, join(ROOT, 'node_modules', '.bin'), process.env.PATH ?? ''].join(delimiter);
  // Node.js trusts its own list only; a registry behind a company's proxy is signed by what the system trusts.
  const bundle = CERTIFICATE_BUNDLES.find((file) => existsSync(file));
  if (bundle !== undefined) env.NODE_EXTRA_CA_CERTS ??= bundle;
  env.TURBO_TELEMETRY_DISABLED = '1';
  env.DO_NOT_TRACK = '1';
  return env;
}

export const NODE = join(BIN, 'node');
const PNPM = join(BIN, 'pnpm');

/** Does nothing when all is in place already. */
export function bootstrap() {
  if (isStamped(toolsStamp()) && isStamped(workspaceStamp()) && existsSync(NODE)) return;
  withLock(join(TOOLS, '.lock'), () => {
    const tools = toolsStamp();
    if (!isStamped(tools)) {
      // The tools are optional dependencies, one per platform: npm leaves out what it cannot fetch and calls that success.
      retry(['npm', 'ci', '--prefix', TOOLS, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], () => existsSync(PINNED_PNPM) && existsSync(PINNED_NODE));
      stamp(tools);
    }
    linkTools();
    const workspace = workspaceStamp();
    if (!isStamped(workspace)) {
      retry([PNPM, 'install', '--frozen-lockfile', '--prefer-offline'], () => true);
      stamp(workspace);
    }
  });
}

function linkTools() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const recent = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  const own = process.env.VM_PINNED_NODE === '1' || !recent;
  mkdirSync(BIN, { recursive: true });
  link(PINNED_PNPM, PNPM);
  link(own ? PINNED_NODE : process.execPath, NODE);
}

/** Replaces a link in one step, so that a command running at the same time never finds it missing. */
function link(target, path) {
  const fresh = `${path}.${process.pid}`;
  rmSync(fresh, { force: true });
  symlinkSync(target, fresh);
  renameSync(fresh, path);
}

function toolsStamp() {
  return { path: join(MODULES, '.stamp'), text: digest([join(TOOLS, 'package.json'), join(TOOLS, 'package-lock.json')]) + PLATFORM };
}

function workspaceStamp() {
  const files = [join(ROOT, 'package.json'), join(ROOT, 'pnpm-lock.yaml'), join(ROOT, 'pnpm-workspace.yaml')];
  for (const folder of ['packages', 'packages/devices', 'examples']) {
    if (!existsSync(join(ROOT, folder))) continue;
    for (const name of readdirSync(join(ROOT, folder)).sort()) {
      const file = join(ROOT, folder, name, 'package.json');
      if (existsSync(file)) files.push(file);
    }
  }
  return { path: join(ROOT, 'node_modules', '.stamp'), text: digest(files) };
}

function digest(files) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(file.slice(ROOT.length)).update('\0').update(existsSync(file) ? readFileSync(file) : '');
  return hash.digest('hex');
}

function isStamped({ path, text }) {
  return existsSync(path) && readFileSync(path, 'utf8') === text;
}

function stamp({ path, text }) {
  writeFileSync(path, text);
}

/** Fetching fails for passing reasons; anything else fails the same way each time. */
function retry([command, ...args], isDone) {
  for (let attempt = 1; ; attempt++) {
    const result = spawnSync(command, args, { cwd: ROOT, env: environment(), stdio: ['ignore', 2, 2] });
    if (result.status === 0 && isDone()) return;
    const why = result.error?.message ?? (result.status === 0 ? `the registry gave no tools for ${PLATFORM}` : `exit code ${result.status}`);
    if (attempt === FETCH_ATTEMPTS) {
      console.error(`${command} failed: ${why}`);
      process.exit(1);
    }
    console.error(`${command}: ${why}; attempt ${attempt} of ${FETCH_ATTEMPTS}, trying again`);
  }
}
