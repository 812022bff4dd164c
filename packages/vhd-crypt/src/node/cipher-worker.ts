// The other side of `workerCiphers`: makes one cipher of a plug-in and does what it is asked to in shared memory.
import { parentPort, workerData } from 'node:worker_threads';
import type { CipherModule, SectorCipher } from '../sector-cipher.ts';

/** What a worker is started with. */
export interface CipherWorkerData {
  readonly url: string;
  readonly make: string;
  readonly cipher: string;
  readonly sectorBytes: number;
  /** Wiped on both sides as soon as the cipher is made. */
  readonly key: SharedArrayBuffer;
  readonly memory: SharedArrayBuffer;
}
export type CipherJob = { readonly id: number; readonly kind: 'encrypt' | 'decrypt'; readonly at: number; readonly bytes: number; readonly firstSector: number } | { readonly id: number; readonly kind: 'close' };
/** `error`: why it was not done. The cipher being made is job 0. */
export interface CipherAnswer {
  readonly id: number;
  readonly error?: string;
}

const { url, make, cipher: name, sectorBytes, key, memory } = workerData as CipherWorkerData;
const port = parentPort!;

async function makeCipher(): Promise<SectorCipher> {
  const secret = Uint8Array.from(new Uint8Array(key));
  try {
    const { [make]: factory } = (await import(url)) as Readonly<Record<string, () => CipherModule>>;
    if (factory === undefined) throw new Error(`${url} exports no ${make}`);
    return await factory().create(name, secret, sectorBytes);
  } finally {
    secret.fill(0);
    new Uint8Array(key).fill(0);
  }
}

async function answer(id: number, work: () => Promise<void>): Promise<void> {
  try {
    await work();
    port.postMessage({ id } satisfies CipherAnswer);
  } catch (error) {
    port.postMessage({ id, error: error instanceof Error ? error.message : String(error) } satisfies CipherAnswer);
  }
}

const made = makeCipher();
void answer(0, async () => void (await made));
port.on('message', (job: CipherJob) => void answer(job.id, async () => {
  const cipher = await made;
  if (job.kind === 'close') {
    await cipher.close();
    new Uint8Array(memory).fill(0);
  } else {
    const bytes = new Uint8Array(memory, job.at, job.bytes);
    await cipher[job.kind](bytes, bytes, job.firstSector);
  }
}));
