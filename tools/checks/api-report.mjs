// The public interface of core and testkit, written down: a change that nobody announced fails.
// node tools/checks/api-report.mjs --update writes it anew.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../bootstrap.mjs';
import { runCommand } from '../command.mjs';

const PACKAGES = ['packages/core', 'packages/testkit'];
const CACHE = 'node_modules/.cache/api';

export async function checkApi() {
  const results = [];
  for (const folder of PACKAGES) {
    const file = `${folder}/api.txt`;
    const is = await describePackage(folder);
    const was = readText(file);
    results.push({ name: `api: ${folder}`, problems: is === was ? [] : [`${file}: the public interface has changed:\n${firstDifference(was, is)}\nIf that is meant: npm run x -- node tools/checks/api-report.mjs --update, and say it in docs/abi.md and a changeset.`] });
  }
  return results;
}

function readText(file) {
  try {
    return readFileSync(join(ROOT, file), 'utf8');
  } catch {
    return '';
  }
}

export function firstDifference(was, is) {
  const [before, after] = [was.split('\n'), is.split('\n')];
  const gone = before.filter((line) => !after.includes(line)).slice(0, 10).map((line) => `- ${line}`);
  const come = after.filter((line) => !before.includes(line)).slice(0, 10).map((line) => `+ ${line}`);
  return [...gone, ...come].join('\n');
}

/** Every name of every entry with its declaration, then what those declarations name. */
async function describePackage(folder) {
  const out = join(ROOT, CACHE, folder);
  rmSync(out, { recursive: true, force: true });
  const { code, output } = await runCommand('tsc', ['-p', join(folder, 'tsconfig.json'), '--noEmit', 'false', '--emitDeclarationOnly', '--sourceMap', 'false', '--rootDir', ROOT, '--outDir', out]);
  if (code !== 0) throw new Error(output);
  const { name, exports } = JSON.parse(readText(`${folder}/package.json`));
  const lines = [`The public interface of ${name}. Written by tools/checks/api-report.mjs.`];
  const modules = new Map();
  const seen = new Set(); // what one entry has described is not described again where another only names it
  const load = (path) => modules.get(path) ?? (modules.set(path, parseModule(readFileSync(path, 'utf8'), path)), modules.get(path));
  for (const [entry, conditions] of Object.entries(exports)) {
    if (typeof conditions === 'string') continue;
    const path = join(out, folder, conditions['vm-source'].replace(/\.ts$/, '.d.ts'));
    const found = [...publicNames(load(path), path, load)].sort(([a], [b]) => (a < b ? -1 : 1));
    lines.push('', `== ${name}${entry.slice(1)}`);
    const waiting = found.map(([, origin]) => origin);
    for (const [exported, origin] of found) lines.push('', describe(origin, load, exported));
    for (const origin of waiting) seen.add(`${origin.path} ${origin.name}`);
    const reached = [];
    for (let origin = waiting.shift(); origin !== undefined; origin = waiting.shift()) {
      for (const next of referenced(origin, load)) {
        const key = `${next.path} ${next.name}`;
        if (seen.has(key)) continue;
        seen.add(key);
        reached.push(next);
        waiting.push(next);
      }
    }
    if (reached.length > 0) lines.push('', '-- named by these');
    for (const origin of reached.sort((a, b) => (a.name < b.name ? -1 : 1))) lines.push('', describe(origin, load, origin.name));
  }
  return `${lines.join('\n')}\n`;
}

/** Declarations by name, imports and re-exports of a .d.ts as tsc writes it: each declaration begins in the first column. */
export function parseModule(text, path) {
  const plain = text.replaceAll(/^[ \t]*\/\*\*[\s\S]*?\*\/\n/gm, '').replaceAll(/^\s*\/\/.*\n/gm, '');
  const declarations = new Map();
  const origins = new Map();
  for (const statement of plain.split(/^(?=(?:abstract|class|const|declare|export|function|import|interface|type)\b)/m)) {
    const head = /^(?:export )?(?:declare )?(?:abstract )?(interface|type|class|function|const) ([A-Za-z_$][\w$]*)/.exec(statement);
    if (head !== null) {
      const closed = declarations.get(head[2]);
      declarations.set(head[2], { kind: head[1], text: `${closed === undefined ? '' : `${closed.text}\n`}${tidy(statement)}` });
    }
    const list = /^(?:import|export) (?:type )?\{([^}]*)\} from '([^']+)'/.exec(statement);
    if (list === null) continue;
    const from = list[2].startsWith('.') ? join(dirname(path), list[2].replace(/\.ts$/, '.d.ts')) : null; // null: another package
    for (const part of list[1].split(',').map((one) => one.trim().replace(/^type /, '')).filter(Boolean)) {
      const [original, as = original] = part.split(' as ');
      origins.set(as, { path: from, name: original, exported: statement.startsWith('export'), from: list[2] });
    }
  }
  return { declarations, origins };
}

function tidy(statement) {
  return statement.trimEnd().replace(/^export /, '').replace(/^declare /, '').split('\n').filter((line) => !/^\s*(#private;|private )/.test(line)).map((line) => line.trimEnd()).join('\n');
}

function* publicNames(module, path) {
  for (const [name, origin] of module.origins) if (origin.exported) yield [name, origin];
  for (const [name] of module.declarations) yield [name, { path, name }];
}

function describe(origin, load, name) {
  const found = origin.path === null ? undefined : load(origin.path).declarations.get(origin.name);
  return found === undefined ? `${name} of ${origin.from}` : found.text;
}

/** Interfaces and types that a declaration names, and that are of the same package. */
function* referenced(origin, load) {
  if (origin.path === null) return;
  const module = load(origin.path);
  const found = module.declarations.get(origin.name);
  if (found === undefined) return;
  for (const word of new Set(found.text.match(/[A-Za-z_$][\w$]*/g))) {
    const next = module.origins.get(word) ?? (module.declarations.has(word) && word !== origin.name ? { path: origin.path, name: word } : null);
    if (next === null || next.path === null) continue;
    const kind = load(next.path).declarations.get(next.name)?.kind;
    if (kind === 'interface' || kind === 'type') yield next;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] !== '--update') {
    console.error('usage: node tools/checks/api-report.mjs --update');
    process.exit(2);
  }
  for (const folder of PACKAGES) {
    writeFileSync(join(ROOT, folder, 'api.txt'), await describePackage(folder));
    console.log(`${folder}/api.txt`);
  }
}
