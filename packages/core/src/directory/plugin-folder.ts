import { constants } from 'node:fs';
import { lstat, open, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { SchemaProblem } from './schema-check.ts';

/** Why a file of a plug-in is not taken. */
export class FolderRefusal extends Error {
  readonly rule: string;

  constructor(rule: string, text: string) {
    super(text);
    this.name = 'FolderRefusal';
    this.rule = rule;
  }
}

/**
 * The bytes of a file inside a folder whose contents anybody may have put there. No part of the path below the folder may be a
 * symbolic link, so what is read lies in the folder; it is a plain file, so reading ends; and it is not larger than `mostBytes`.
 */
export async function readInside(folder: string, file: string, mostBytes: number): Promise<Uint8Array> {
  const parts = file.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..' || /[\\\0]/.test(part))) throw new FolderRefusal('inside', 'the path leaves the folder');
  let path = folder;
  for (const part of parts) {
    path = join(path, part);
    const { isSymbolicLink } = await lstat(path).then((found) => ({ isSymbolicLink: found.isSymbolicLink() }), explain);
    if (isSymbolicLink) throw new FolderRefusal('link', `${part} is a symbolic link`);
  }
  // Between that look and this one somebody may have changed it; the last part cannot follow a link, the others are compared.
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(explain);
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new FolderRefusal('file', 'it is no plain file');
    if (found.size > mostBytes) throw new FolderRefusal('size', `it has ${found.size} bytes, and ${mostBytes} are allowed`);
    if ((await realpath(path)) !== join(await realpath(folder), ...parts)) throw new FolderRefusal('inside', 'it lies outside of the folder');
    const bytes = Buffer.alloc(found.size + 1);
    let length = 0; // one byte more than it should have, to see that it has not grown
    for (;;) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length);
      length += bytesRead;
      if (bytesRead === 0 || length === bytes.length) break;
    }
    if (length > found.size) throw new FolderRefusal('changed', 'it grows while it is read');
    return new Uint8Array(bytes.subarray(0, length));
  } finally {
    await handle.close();
  }
}

export function problemOf(error: unknown): SchemaProblem {
  return { path: '', rule: error instanceof FolderRefusal ? error.rule : 'read', text: error instanceof Error ? error.message : String(error) };
}

function explain(error: NodeJS.ErrnoException): never {
  const { code } = error;
  if (code === 'ENOENT' || code === 'ENOTDIR') throw new FolderRefusal('missing', 'there is no such file');
  if (code === 'ELOOP') throw new FolderRefusal('link', 'it is a symbolic link');
  if (code === 'EACCES' || code === 'EPERM') throw new FolderRefusal('read', 'permission denied');
  throw new FolderRefusal('read', error.message);
}
