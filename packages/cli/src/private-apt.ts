import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VmError } from '@vm/core';
import { makeFolder } from './host-folder.ts';
import { runChild } from './child-process.ts';

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly bytes: number;
  readonly sha256: string;
}
/** Percent of the present download. */
export type DownloadProgress = (percent: number) => void;

const HOST_ETC = '/etc/apt';
const HELPER = '/usr/lib/apt/apt-helper'; // of the same package as apt-get
const ATTEMPTS = 3;
// What decides how the host reaches the network; everything else of its settings stays outside.
const NETWORK_SETTING = /^Acquire::(https?|ftp|Retries|ForceIPv[46]|Check-(Valid-Until|Date)|Max-FutureTime)\b/;

/**
 * APT with a state of its own in a folder: the host's package sources, keys and network settings are read; its lists, its
 * packages and its architectures are neither used nor touched, and nothing needs root.
 */
export class PrivateApt {
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#env = { APT_CONFIG: join(folder, 'apt.conf') };
  }

  /** `sources` are lines of a sources.list; null: those of the host. */
  static async open(folder: string, architecture: string, sources: string | null): Promise<PrivateApt> {
    for (const part of ['state/lists/partial', 'cache/archives/partial', 'etc/sources.list.d', 'etc/preferences.d', 'etc/apt.conf.d', 'download']) {
      makeFolder(join(folder, part));
    }
    writeSources(folder, sources);
    writeFileSync(join(folder, 'status'), '');
    const settings = (await runChild('apt-config', ['dump'])).split('\n').filter((line) => NETWORK_SETTING.test(line));
    writeFileSync(join(folder, 'apt.conf'), [...settings, ...ownSettings(folder, architecture), ''].join('\n'));
    return new PrivateApt(folder);
  }

  /** Fetches the lists of packages. */
  async update(onProgress: DownloadProgress): Promise<void> {
    await this.#retry(() => this.#run('apt-get', ['update', '-o', 'APT::Status-Fd=3'], onProgress));
  }

  /** The package that `name` stands for: itself, or what a metapackage for kernels depends on. Null: there is none. */
  async find(name: string): Promise<DebianPackage | null> {
    const shown = await this.#show(name);
    if (shown === null) return null;
    const depends = await this.#run('apt-cache', ['depends', '--important', name]);
    const image = /^ +\|?Depends: (linux-image-\S+)$/m.exec(depends)?.[1];
    return image === undefined ? shown : this.#show(image);
  }

  /** Path of the package file, checked. What an interrupted download left is used, also of another process. */
  async download(one: DebianPackage, onProgress: DownloadProgress): Promise<string> {
    const folder = join(this.#folder, 'download');
    const name = `${one.name}_${one.sha256}.deb`;
    for (const left of readdirSync(folder)) if (left !== name) rmSync(join(folder, left), { recursive: true });
    const path = join(folder, name);
    // apt-get download begins anew each time; the helper goes on.
    const uris = await this.#run('apt-get', ['download', '--print-uris', `${one.name}=${one.version}`], undefined, this.#folder);
    const uri = /^'([^']+)'/m.exec(uris)?.[1];
    if (uri === undefined) throw new VmError('E_HOST', `apt-get does not say where ${one.name} is`);
    await this.#retry(async () => {
      if (digestOf(path) === one.sha256) return;
      await this.#run(HELPER, ['download-file', uri, path, `SHA256:${one.sha256}`, '-o', 'APT::Status-Fd=3'], onProgress);
      const digest = digestOf(path);
      if (digest === one.sha256) return;
      rmSync(path, { force: true });
      throw new VmError('E_HOST', `${one.name}: the download has SHA-256 ${digest}, the list of packages says ${one.sha256}`);
    });
    return path;
  }

  async #show(name: string): Promise<DebianPackage | null> {
    let text: string;
    try {
      text = await this.#run('apt-cache', ['show', '--no-all-versions', name]);
    } catch {
      return null; // unknown, or known by name only
    }
    const field = (key: string): string => new RegExp(`^${key}: (.+)$`, 'm').exec(text)?.[1] ?? '';
    return field('SHA256') === '' ? null : { name: field('Package'), version: field('Version'), bytes: Number(field('Size')), sha256: field('SHA256') };
  }

  #run(program: string, args: readonly string[], onProgress?: DownloadProgress, cwd?: string): Promise<string> {
    return runChild(program, args, {
      env: this.#env,
      onStatus: (line) => {
        const percent = /^dlstatus:[^:]*:([\d.]+):/.exec(line)?.[1];
        if (percent !== undefined) onProgress?.(Number(percent));
      },
      ...(cwd === undefined ? {} : { cwd }),
    });
  }

  /** Networks fail for passing reasons; anything else fails the same way each time. */
  async #retry(work: () => Promise<unknown>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await work();
        return;
      } catch (error) {
        if (attempt === ATTEMPTS || /No space left|Disk quota/.test(String(error))) throw error;
      }
    }
  }
}

/** Null: there is no such file. */
function digestOf(path: string): string | null {
  return existsSync(path) ? createHash('sha256').update(readFileSync(path)).digest('hex') : null;
}

/** There is apt-get, and it knows where packages come from. */
export function hasApt(): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, 'apt-get'))) && listSources().length > 0;
}

function listSources(): readonly string[] {
  const parts = join(HOST_ETC, 'sources.list.d');
  const files = existsSync(parts) ? readdirSync(parts).filter((file) => /\.(list|sources)$/.test(file)).map((file) => join('sources.list.d', file)) : [];
  return [...(existsSync(join(HOST_ETC, 'sources.list')) ? ['sources.list'] : []), ...files];
}

function writeSources(folder: string, sources: string | null): void {
  rmSync(join(folder, 'etc/sources.list'), { force: true });
  rmSync(join(folder, 'etc/sources.list.d'), { recursive: true });
  mkdirSync(join(folder, 'etc/sources.list.d'));
  if (sources !== null) writeFileSync(join(folder, 'etc/sources.list'), sources);
  else for (const file of listSources()) copyFileSync(join(HOST_ETC, file), join(folder, 'etc', file));
}

function ownSettings(folder: string, architecture: string): readonly string[] {
  const setting = (name: string, value: string): string => `${name} "${value}";`;
  return [
    setting('Dir::State', join(folder, 'state')),
    setting('Dir::State::status', join(folder, 'status')),
    setting('Dir::Cache', join(folder, 'cache')),
    setting('Dir::Etc', join(folder, 'etc')),
    setting('Dir::Etc::parts', join(folder, 'etc/apt.conf.d')),
    setting('Dir::Etc::main', join(folder, 'etc/apt.conf')),
    setting('Dir::Etc::trusted', join(HOST_ETC, 'trusted.gpg')),
    setting('Dir::Etc::trustedparts', join(HOST_ETC, 'trusted.gpg.d')),
    setting('Dir::Etc::netrc', join(HOST_ETC, 'auth.conf')),
    setting('Dir::Etc::netrcparts', join(HOST_ETC, 'auth.conf.d')),
    setting('APT::Architecture', architecture),
    setting('APT::Architectures', architecture),
    setting('APT::Get::List-Cleanup', 'true'),
    setting('Acquire::Languages', 'none'),
    // Without this APT drops root's rights for downloads, and then may not reach a folder of root's.
    setting('APT::Sandbox::User', ''),
  ];
}
