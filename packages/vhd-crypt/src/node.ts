import { open, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import type { ImageFile } from './image-file.ts';
import { HostFileIo } from './node/host-file-io.ts';
import type { ParentSource } from './open-vhd.ts';
import { VhdError } from './vhd-error.ts';

export { adiantumCiphers } from './adiantum.ts';
export { parsePkcs11Uri, pkcs11Keys, type Pkcs11Options } from './node/key-pkcs11.ts';
export { keyService, type KeyServiceOptions } from './node/key-service.ts';
export { askingKeys, keyDescriptor, keyEnvironment, keyFile, standardCiphers } from './node/key-sources.ts';
export { nodeCiphers } from './node/node-aes.ts';
export { nodeKeyMath } from './node/node-key-math.ts';
export { opensslCiphers } from './node/openssl-aes.ts';
export type { TokenPlace } from './node/pkcs11-library.ts';
export { workerCiphers, type WorkerCiphersOptions } from './node/worker-ciphers.ts';
export { nobleCiphers } from './noble-aes.ts';

export interface FileOptions {
  readonly writable?: boolean;
  /** Makes the file; there must be none. */
  readonly create?: boolean;
}

/** A file of the host. While it is open for writing, nobody else opens it for writing this way. */
export async function openImageFile(path: string, options: FileOptions = {}): Promise<ImageFile> {
  const writable = options.writable === true || options.create === true;
  const unlock = writable ? await lock(path) : null;
  try {
    const handle = await open(path, options.create === true ? 'wx+' : writable ? 'r+' : 'r');
    if (!(await handle.stat()).isFile()) {
      await handle.close();
      throw Object.assign(new Error(`${path} is no regular file`), { code: 'EISDIR', syscall: 'open' });
    }
    const io = new HostFileIo(handle);
    let isOpen = true;
    return {
      name: path,
      writable,
      bytes: async () => (await handle.stat()).size,
      async read(at, into) {
        for (let done = 0; done < into.length; ) {
          const count = await io.read(into, done, into.length - done, at + done);
          if (count === 0) throw new VhdError(path, 'size', `the file ends at ${at + done}, within what is read`);
          done += count;
        }
      },
      async write(at, from) {
        for (let done = 0; done < from.length; ) done += await io.write(from, done, from.length - done, at + done);
      },
      resize: (bytes) => handle.truncate(bytes),
      flush: () => handle.datasync(),
      async close() {
        if (!isOpen) return;
        isOpen = false;
        await handle.close();
        await unlock?.();
      },
    };
  } catch (error) {
    await unlock?.();
    throw error;
  }
}

/** A file beside the image with the number of the process. One that a dead process left behind is taken over. */
async function lock(path: string): Promise<() => Promise<void>> {
  const file = `${path}.lock`;
  for (let attempt = 0; ; attempt++) {
    try {
      await writeFile(file, `${process.pid}\n`, { flag: 'wx' });
      return () => rm(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const owner = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10);
      if (attempt > 0 || isAlive(owner)) throw new VhdError(path, 'request', `process ${owner} has it open for writing (${file})`);
      await rm(file, { force: true });
    }
  }
}

function isAlive(process_: number): boolean {
  if (!(process_ > 0)) return true; // being written just now
  try {
    process.kill(process_, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Parents of the image at `path`: only files in its folder and below are opened, because an image may name any file of the
 * host and show it to its guest. `root` names a wider folder.
 */
export function parentsBeside(path: string, root: string = dirname(resolve(path))): ParentSource {
  return async (name) => {
    const target = isAbsolute(name) ? name : resolve(dirname(path), name);
    const real = await realpath(target).catch(() => null);
    if (real === null) return null;
    const inside = relative(await realpath(root), real);
    if (inside === '' || inside.split(sep)[0] === '..' || isAbsolute(inside)) return null;
    const found = await stat(real);
    if (!found.isFile()) return null;
    return { file: await openImageFile(target), changed: found.mtimeMs, parents: parentsBeside(target, root) };
  };
}
