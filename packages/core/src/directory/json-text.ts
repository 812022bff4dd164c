import { escapePointer, type SchemaProblem } from './schema-check.ts';

const MOST_DEPTH = 16;
// Names with a meaning of their own in JavaScript: whoever copies members carelessly would change a prototype.
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);

/** The value of a JSON text that anybody may have written, or why it is none that two readers would understand alike. */
export function readJsonText(bytes: Uint8Array): { readonly value: unknown; readonly problem: null } | { readonly value: null; readonly problem: SchemaProblem } {
  const refuse = (path: string, rule: string, text: string): { value: null; problem: SchemaProblem } => ({ value: null, problem: { path, rule, text } });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refuse('', 'utf-8', 'it is not UTF-8');
  }
  if (deepestLevel(text) > MOST_DEPTH) return refuse('', 'depth', `more than ${MOST_DEPTH} levels`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return refuse('', 'json', (error as Error).message.replaceAll(/[^\u0020-\u007e]/g, '?').slice(0, 120));
  }
  const problem = findBadName(text);
  return problem === null ? { value, problem: null } : { value: null, problem };
}

/** Brackets, commas, colons and texts with their quotes; once through, whatever it is. */
function* tokens(text: string): Generator<string> {
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if ('{}[],:'.includes(char)) yield char;
    if (char !== '"') continue;
    const begin = at++;
    while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
    yield text.slice(begin, at + 1);
  }
}

function deepestLevel(text: string): number {
  let level = 0;
  let deepest = 0;
  for (const token of tokens(text)) {
    if (token === '{' || token === '[') deepest = Math.max(deepest, ++level);
    else if (token === '}' || token === ']') level--;
  }
  return deepest;
}

/** Members that are there twice, of which JSON.parse takes the last one and other readers the first, and names of JavaScript. */
function findBadName(text: string): SchemaProblem | null {
  const open: { readonly names: Set<string> | null; name: string; index: number }[] = [];
  let last = '';
  const path = (): string => open.map(({ names, name, index }) => `/${names === null ? index : escapePointer(name)}`).join('');
  for (const token of tokens(text)) {
    const top = open.at(-1);
    if (token === '{' || token === '[') open.push({ names: token === '{' ? new Set() : null, name: '', index: 0 });
    else if (token === '}' || token === ']') open.pop();
    else if (token === ',' && top !== undefined) top.index++;
    else if (token === ':' && top !== undefined && top.names !== null) {
      top.name = JSON.parse(last) as string;
      if (FORBIDDEN.has(top.name)) return { path: path(), rule: 'name', text: 'this name is not allowed' };
      if (top.names.has(top.name)) return { path: path(), rule: 'unique', text: 'it is there twice' };
      top.names.add(top.name);
    } else last = token;
  }
  return null;
}
