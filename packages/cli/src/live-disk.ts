import type { BlockBackend } from '@vm/core';
import { decryptImage, encryptImage, type Luks2Cost, type OpenedDisk, rekeyImage, type ReencryptMode, StoreGate } from '@vm/vhd-crypt';
import { nodeKeyMath, parentsBeside, standardCiphers } from '@vm/vhd-crypt/node';
import { type DiskDescriptor, isUnattended, type KeyOrigin } from './disk-descriptor.ts';
import { askedOnce, diskOptions, keySource, openNamedFile } from './disk-opener.ts';
import { UsageError } from './usage-error.ts';

/** How far the work on a disk is. */
export interface LiveDiskState {
  readonly name: string;
  readonly file: string;
  readonly encrypted: boolean;
  /** Null: none is under way. */
  readonly work: { readonly mode: ReencryptMode; readonly going: boolean; readonly done: number; readonly total: number; readonly bytesPerSecond: number | null; readonly secondsLeft: number | null; readonly problem: string | null } | null;
}

/** What opens a disk, what is to open it, and how dear guessing that is. */
export interface LiveDiskKeys {
  readonly key?: KeyOrigin | undefined;
  readonly newKey?: KeyOrigin | undefined;
  readonly cost?: Luks2Cost | undefined;
}

/** What part of the time of the machine's thread such work takes, at most. */
const SHARE = 0.25;

/** A disk of a running machine, whose image may be encrypted, decrypted or encrypted anew behind its guest. */
export class LiveDisk implements BlockBackend {
  readonly bytes: number;
  readonly writable: boolean;
  readonly #reopen: (descriptor: DiskDescriptor) => Promise<OpenedDisk>;
  readonly #gate = new StoreGate();
  #descriptor: DiskDescriptor;
  #disk: OpenedDisk;
  #going: { stopped: boolean; readonly ended: Promise<void>; readonly sinceMs: number; readonly from: number } | null = null;
  #problem: string | null = null;
  #closed = false;

  constructor(descriptor: DiskDescriptor, disk: OpenedDisk, reopen: (descriptor: DiskDescriptor) => Promise<OpenedDisk>) {
    this.#descriptor = descriptor;
    this.#disk = disk;
    this.#reopen = reopen;
    this.bytes = disk.bytes;
    this.writable = disk.writable;
  }

  /** With the key that opens it now. */
  get descriptor(): DiskDescriptor {
    return this.#descriptor;
  }

  get warnings(): readonly string[] {
    return this.#disk.warnings;
  }

  read(at: number, into: Uint8Array): Promise<void> {
    return this.#gate.together(() => this.#disk.read(at, into));
  }
  write(at: number, from: Uint8Array): Promise<void> {
    return this.#gate.together(() => this.#disk.write(at, from));
  }
  flush(): Promise<void> {
    return this.#gate.together(() => this.#disk.flush());
  }
  discard(at: number, bytes: number): Promise<void> {
    return this.#gate.together(() => this.#disk.discard(at, bytes));
  }
  writeZeroes(at: number, bytes: number): Promise<void> {
    return this.#gate.together(() => this.#disk.writeZeroes(at, bytes));
  }

  state(name: string): LiveDiskState {
    const { reencryption, crypt } = this.#disk;
    const facts = { name, file: this.#descriptor.file, encrypted: crypt !== 'none' };
    if (reencryption === null) return { ...facts, work: null };
    const { done, total } = reencryption.progress();
    const moved = this.#going === null ? 0 : done - this.#going.from;
    const bytesPerSecond = moved > 0 ? Math.round((moved * 1000) / (performance.now() - this.#going!.sinceMs)) : null;
    return { ...facts, work: { mode: reencryption.mode, going: this.#going !== null, done, total, bytesPerSecond, secondsLeft: bytesPerSecond === null ? null : Math.ceil((total - done) / bytesPerSecond), problem: this.#problem } };
  }

  /** Begins a work, which goes on by itself. While it begins the guest waits. Throws UsageError, and CryptError for what cannot be. */
  async begin(mode: ReencryptMode, { key, newKey, cost }: LiveDiskKeys): Promise<void> {
    const { file: path, overlay, snapshot, header, cipher, parentKey } = this.#descriptor;
    if (this.#disk.reencryption !== null) throw new UsageError(`its ${this.#disk.reencryption.mode} is under way; disk go goes on with it`);
    if (!this.writable || overlay !== undefined || snapshot !== undefined || header !== undefined || cipher !== undefined) throw new UsageError(`${mode} is for disks that are stored to in their own files`);
    const opens = key ?? this.#descriptor.key;
    if (opens === undefined || !isUnattended(opens) || (mode === 'rekey' && !isUnattended(newKey))) throw new UsageError(`${mode}: a running machine asks nobody: ${mode === 'rekey' ? '--key and --new-key, or --key-file and --new-key-file' : '--key or --key-file'}`);
    // A wrong one must not take the disk away from the guest.
    if (mode !== 'encrypt') await (await this.#reopen({ ...this.#descriptor, key: opens, readonly: true })).close();
    await this.#change(async () => {
      const [keys, newKeys] = [askedOnce(keySource(opens)), askedOnce(keySource(newKey ?? opens))];
      const file = await openNamedFile(path, { writable: true });
      const options = { format: diskOptions(this.#descriptor).format, parents: parentsBeside(path), ciphers: standardCiphers(), keys, ...(parentKey === undefined ? {} : { parentKeys: keySource(parentKey) }), signal: { aborted: true }, ...(cost === undefined ? {} : { cost }) };
      try {
        if (mode !== 'encrypt') this.#descriptor = { ...this.#descriptor, key: opens };
        if (mode === 'encrypt') await encryptImage(file, { math: nodeKeyMath() }, options);
        else if (mode === 'decrypt') await decryptImage(file, { math: nodeKeyMath() }, options);
        else await rekeyImage(file, { math: nodeKeyMath() }, { ...options, newKeys });
        this.#descriptor = { ...this.#descriptor, key: mode === 'rekey' ? newKey! : opens };
      } finally {
        keys.close();
        newKeys.close();
        await file.close();
      }
    });
    this.go();
  }

  /** Goes on with what is under way, a zone at a time, and leaves most of the time to the machine. */
  go(): void {
    const { reencryption } = this.#disk;
    if (reencryption === null) throw new UsageError('nothing is under way; encrypt, decrypt and rekey begin it');
    if (this.#going !== null || this.#closed) return;
    this.#problem = null;
    const run = async (): Promise<void> => {
      for (let more = true; more && this.#going?.stopped !== true; ) {
        const begin = performance.now();
        more = await reencryption.step();
        await new Promise((resolve) => setTimeout(resolve, (performance.now() - begin) * (1 / SHARE - 1)));
      }
      const { done, total } = reencryption.progress();
      // Closing it is what ends the work; without a key that can be had again that waits for the end of the machine.
      if (done === total && isUnattended(this.#descriptor.key) && !this.#closed) await this.#change(() => Promise.resolve());
    };
    const ended = Promise.resolve().then(run).catch((error: unknown) => void (this.#problem = error instanceof Error ? error.message : String(error))).finally(() => void (this.#going = null));
    this.#going = { stopped: false, ended, sinceMs: performance.now(), from: reencryption.progress().done };
  }

  /** After it resolves nothing goes on; what is done stays done. */
  async stop(): Promise<void> {
    if (this.#going === null) return;
    this.#going.stopped = true;
    await this.#going.ended;
  }

  /** Nothing goes on while something else does that needs the image as it is. */
  async quietly<T>(work: () => Promise<T>): Promise<T> {
    const going = this.#going !== null;
    await this.stop();
    try {
      return await work();
    } finally {
      if (going && this.#disk.reencryption !== null) this.go();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.stop();
    await this.#disk.close();
  }

  /** Does something with the image while nobody has it open. */
  async #change(work: () => Promise<void>): Promise<void> {
    await this.#gate.alone(async () => {
      await this.#disk.close();
      try {
        await work();
      } finally {
        const { reencryption } = this.#disk;
        const { key, ...rest } = this.#descriptor;
        // One that is decrypted now refuses a key that is named.
        const decrypted = reencryption?.mode === 'decrypt' && reencryption.progress().done === this.bytes;
        if (decrypted) this.#descriptor = rest;
        this.#disk = await this.#reopen(decrypted || key === undefined ? this.#descriptor : { ...this.#descriptor, key });
      }
    });
  }
}
