// Every TypeScript block of the documents compiles.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../bootstrap.mjs';
import { runCommand } from '../command.mjs';
import { readSource } from '../workspace.mjs';

const FOLDER = 'node_modules/.cache/readme';
const BLOCK = /^```ts\n([\s\S]*?)^```/gm;

export async function checkReadme() {
  rmSync(join(ROOT, FOLDER), { recursive: true, force: true });
  mkdirSync(join(ROOT, FOLDER), { recursive: true });
  const origins = new Map();
  for (const document of await listDocuments()) {
    const text = readSource(document);
    for (const block of text.matchAll(BLOCK)) {
      const name = `block-${origins.size}.ts`;
      const line = text.slice(0, block.index).split('\n').length;
      origins.set(name, `${document}:${line}`);
      writeFileSync(join(ROOT, FOLDER, name), `${block[1]}export {};\n`);
    }
  }
  const compilerOptions = { noEmit: true, isolatedDeclarations: false, declaration: false, noUnusedLocals: false };
  writeFileSync(join(ROOT, FOLDER, 'tsconfig.json'), JSON.stringify({ extends: '../../../tsconfig.base.json', compilerOptions, include: ['*.ts'] }));
  if (origins.size === 0) return [{ name: 'documents: no code blocks', problems: [] }];
  const { code, output } = await runCommand('tsc', ['-p', FOLDER, '--pretty', 'false']);
  const told = output.replaceAll(/[\w./-]*(block-\d+\.ts)/g, (_path, name) => `${origins.get(name)} ${name}`);
  return [{ name: `documents: ${origins.size} code blocks`, problems: code === 0 ? [] : [told.trim()] }];
}

async function listDocuments() {
  const { output } = await runCommand('git', ['ls-files', '*.md']);
  return output.split('\n').filter((file) => file !== '' && !file.startsWith('.changeset/'));
}
