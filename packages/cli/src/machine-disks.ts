import { basename } from 'node:path';
import type { PcDisk } from '@vm/pc';
import type { OpenedDisk } from '@vm/vhd-crypt';
import type { DiskDescriptor } from './disk-descriptor.ts';
import { type DiskOpenOptions, openDescribedDisk } from './disk-opener.ts';
import { LiveDisk } from './live-disk.ts';
import { UsageError } from './usage-error.ts';

const MOST_ATA = 4;
const MOST_VIRTIO = 16;

/** Opens the disks of a machine, runs it, and closes them whatever happened: what the guest has stored is in the files then. */
export async function withMachineDisks(descriptors: readonly DiskDescriptor[], run: (disks: readonly PcDisk[]) => Promise<number>): Promise<number> {
  const ata = descriptors.filter(({ bus }) => bus === 'ata').length;
  if (ata > MOST_ATA) throw new UsageError(`--disk: ${ata} disks with bus=ata, and there is room for ${MOST_ATA}`);
  if (descriptors.length - ata > MOST_VIRTIO) throw new UsageError(`--disk: there is room for ${MOST_VIRTIO} disks with bus=virtio`);
  const opened: { readonly file: string; readonly disk: LiveDisk }[] = [];
  let code: number;
  try {
    for (const descriptor of descriptors) opened.push({ file: descriptor.file, disk: await openLiveDisk(descriptor) });
    for (const { file, disk } of opened) for (const warning of disk.warnings) process.stderr.write(`vm: ${file}: ${warning}\n`);
    code = await run(opened.map(({ disk, file }, i) => ({ disk, bus: descriptors[i]!.bus ?? 'virtio', serial: serialOf(file), ...placeOf(descriptors[i]!) })));
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
  const failure = await closeAll(opened);
  if (failure !== null) throw failure;
  return code;
}

/** The first error, after all were tried. */
async function closeAll(opened: readonly { readonly disk: LiveDisk }[]): Promise<unknown> {
  const errors: unknown[] = [];
  for (const { disk } of opened.toReversed()) await disk.close().catch((error: unknown) => errors.push(error));
  return errors[0] ?? null;
}

/** A disk that its owner may have encrypted while the machine runs. */
export async function openLiveDisk(descriptor: DiskDescriptor, ask?: DiskOpenOptions['ask']): Promise<LiveDisk> {
  return new LiveDisk(descriptor, await openNamedDisk(descriptor, ask), (changed) => openNamedDisk(changed, noPassphrase));
}

export function noPassphrase(): Promise<never> {
  throw new UsageError('it is encrypted, and a running machine asks nobody: key=file:FILE');
}

/** What is wrong with a disk is the user's to know, with the name of its file. */
export async function openNamedDisk(descriptor: DiskDescriptor, ask?: DiskOpenOptions['ask']): Promise<OpenedDisk> {
  const { file } = descriptor;
  try {
    const disk = await openDescribedDisk(descriptor, ask === undefined ? {} : { ask });
    if (disk.bytes >= 512) return disk;
    await disk.close();
    throw new UsageError(`a disk of ${disk.bytes} bytes is too small for a sector`);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--disk ${text.includes(file) ? text : `${file}: ${text}`}`, { cause: error });
  }
}

function placeOf({ name, slot }: DiskDescriptor): Pick<PcDisk, 'name' | 'slot'> {
  return { ...(name === undefined ? {} : { name }), ...(slot === undefined ? {} : { slot }) };
}

export function serialOf(file: string): string {
  return basename(file).replaceAll(/[^\w.-]/g, '_').slice(0, 20);
}
