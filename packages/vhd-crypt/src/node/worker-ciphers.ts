import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { CryptError } from '../crypt-error.ts';
import type { CipherModule, SectorCipher } from '../sector-cipher.ts';
import type { CipherAnswer, CipherJob, CipherWorkerData } from './cipher-worker.ts';

export interface WorkerCiphersOptions {
  /** The plug-in, as it is in process: it says what it can do. */
  readonly module: CipherModule;
  /** Where a worker finds it: an export of an ES module that gives it when called. Default: that of this package, by its engine. */
  readonly url?: URL;
  readonly make?: string;
  /** Default: one for each processor but one, and at least 1 and at most 4. */
  readonly workers?: number;
  /** Shorter ranges are done in process, as the way to a worker takes longer. With 0 the key is in workers only. Default: 64 KiB. */
  readonly leastBytes?: number;
}

const SLOT = 262_144; // bytes that are handed over at once
const SLOTS = 4; // for each worker
const OWN: Readonly<Record<string, string>> = { adiantum: 'adiantumCiphers', node: 'nodeCiphers', noble: 'nobleCiphers', openssl: 'opensslCiphers' };

/**
 * A plug-in whose ciphers compute in threads of their own, large ranges in parts side by side. It frees the thread of the machine,
 * and makes slow ciphers as many times quicker as there are processors; AES with the processor's instructions is quicker in
 * process, where nothing is copied to another thread and back.
 */
export function workerCiphers({ module, url, make = OWN[module.engine], workers = Math.min(4, Math.max(1, availableParallelism() - 1)), leastBytes = 65_536 }: WorkerCiphersOptions): CipherModule {
  const { ciphers, keyBytes, sectorBytes } = module;
  return {
    engine: `${module.engine}-worker`,
    ciphers,
    keyBytes,
    sectorBytes,
    isAvailable: () => module.isAvailable(),
    async create(cipher, key, unit) {
      if (make === undefined) throw new CryptError(cipher, 'request', `how a worker finds the engine ${module.engine} was not said`);
      // Refuses what cannot be, before any thread is started.
      const inProcess = await module.create(cipher, key, unit);
      if (leastBytes === 0) await inProcess.close();
      const threads = Array.from({ length: workers }, () => new CipherThread({ url: (url ?? ownModule()).href, make, cipher, sectorBytes: unit }, key));
      try {
        await Promise.all(threads.map((thread) => thread.ready));
      } catch (error) {
        await Promise.all([...threads.map((thread) => thread.close()), leastBytes === 0 ? null : inProcess.close()]);
        throw error;
      }
      return spread(threads, leastBytes === 0 ? null : inProcess, leastBytes, unit);
    },
  };
}

/** The entry of this package for Node, as source or built. */
function ownModule(): URL {
  return import.meta.url.endsWith('.ts') ? new URL('../node.ts', import.meta.url) : new URL('./node.js', import.meta.url);
}

function spread(threads: readonly CipherThread[], inProcess: SectorCipher | null, leastBytes: number, unit: number): SectorCipher {
  let next = 0;
  const run = async (kind: 'encrypt' | 'decrypt', from: Uint8Array, into: Uint8Array, firstSector: number): Promise<void> => {
    if (inProcess !== null && from.length < leastBytes) return inProcess[kind](from, into, firstSector);
    if (from.length % unit !== 0 || into.length !== from.length) throw new RangeError(`${from.length} bytes are no whole units of ${unit}`);
    // Equal parts, so that all threads have work.
    const share = Math.min(SLOT, Math.max(unit, Math.ceil(from.length / threads.length / unit) * unit));
    const parts = Array.from({ length: Math.ceil(from.length / share) }, (_, i) => {
      const [begin, end] = [i * share, (i + 1) * share];
      return threads[next++ % threads.length]!.run(kind, from.subarray(begin, end), into.subarray(begin, end), firstSector + begin / 512);
    });
    for (const result of await Promise.allSettled(parts)) if (result.status === 'rejected') throw result.reason;
  };
  return {
    encrypt: (from, into, firstSector) => run('encrypt', from, into, firstSector),
    decrypt: (from, into, firstSector) => run('decrypt', from, into, firstSector),
    async close() {
      await Promise.all([...threads.map((thread) => thread.close()), inProcess?.close()]);
    },
  };
}

interface Waiting {
  resolve(): void;
  reject(error: Error): void;
}

/** One worker with one cipher, and memory that both see. */
class CipherThread {
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #memory = new SharedArrayBuffer(SLOT * SLOTS);
  readonly #waiting = new Map<number, Waiting>();
  readonly #free: number[] = Array.from({ length: SLOTS }, (_, i) => i * SLOT);
  readonly #wantSlot: (() => void)[] = [];
  readonly #cipher: string;
  #next = 0;
  #ended: Error | null = null;

  constructor(data: Omit<CipherWorkerData, 'key' | 'memory'>, key: Uint8Array) {
    this.#cipher = data.cipher;
    const secret = new SharedArrayBuffer(key.length);
    new Uint8Array(secret).set(key);
    const file = import.meta.url.endsWith('.ts') ? './cipher-worker.ts' : './cipher-worker.js';
    // What says how the main module was given does not go for a worker.
    const execArgv = process.execArgv.filter((argument) => !argument.startsWith('--input-type'));
    this.#worker = new Worker(new URL(file, import.meta.url), { execArgv, workerData: { ...data, key: secret, memory: this.#memory } satisfies CipherWorkerData });
    this.#worker.on('message', ({ id, error }: CipherAnswer) => this.#answered(id, error));
    this.#worker.on('error', (error) => this.#end(error.message));
    this.#worker.on('exit', () => this.#end('has ended'));
    this.ready = this.#wait(0).finally(() => new Uint8Array(secret).fill(0));
  }

  async run(kind: 'encrypt' | 'decrypt', from: Uint8Array, into: Uint8Array, firstSector: number): Promise<void> {
    while (this.#free.length === 0) await new Promise<void>((resolve) => this.#wantSlot.push(resolve));
    const at = this.#free.pop()!;
    const shared = new Uint8Array(this.#memory, at, from.length);
    try {
      shared.set(from);
      await this.#ask((id) => ({ id, kind, at, bytes: from.length, firstSector }));
      into.set(shared);
    } finally {
      this.#free.push(at);
      this.#wantSlot.shift()?.();
    }
  }

  /** Forgets the key in the worker and what went through, and ends it. */
  async close(): Promise<void> {
    if (this.#ended !== null) return;
    await this.#ask((id) => ({ id, kind: 'close' })).catch(() => undefined); // one that could make no cipher has none to close
    new Uint8Array(this.#memory).fill(0);
    this.#end('the cipher is closed');
    await this.#worker.terminate();
  }

  #ask(job: (id: number) => CipherJob): Promise<void> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = ++this.#next;
    this.#worker.postMessage(job(id));
    return this.#wait(id);
  }

  /** The process does not end while something is waited for, and is not kept from it otherwise. */
  #wait(id: number): Promise<void> {
    if (this.#waiting.size === 0) this.#worker.ref();
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #answered(id: number, error: string | undefined): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (error === undefined) waiting?.resolve();
    else waiting?.reject(new CryptError(this.#cipher, 'request', `in a worker: ${error}`));
  }

  #end(why: string): void {
    this.#ended ??= new CryptError(this.#cipher, 'request', why === 'the cipher is closed' ? why : `its worker: ${why}`);
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}
