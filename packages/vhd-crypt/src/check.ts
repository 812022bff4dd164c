import { sameBytes } from './big-endian.ts';
import { FOOTER_BYTES, type VhdType } from './footer.ts';
import { geometryBytes, type SizeRule } from './geometry.ts';
import type { ImageFile } from './image-file.ts';
import { VhdError, type VhdRule } from './vhd-error.ts';
import { blockSpan, endOfUse, readImage, tableProblems, UNUSED, type VhdImage } from './vhd-image.ts';

export interface Finding {
  /** An error keeps somebody from reading the disk as it was meant; a warning does not. */
  readonly severity: 'error' | 'warning';
  readonly rule: VhdRule | 'footer-front' | 'footer-back' | 'footers-differ' | 'orphans' | 'geometry';
  readonly text: string;
  /** What `repairVhd` does about it: nothing, mend it without any loss, or give up the data of a block when told to. */
  readonly repair: 'none' | 'lossless' | 'drops-block';
}

/** Plain data, for JSON. */
export interface CheckReport {
  readonly file: string;
  readonly type: VhdType | null;
  readonly creator: string | null;
  readonly bytes: number | null;
  readonly fileBytes: number;
  readonly blocks: { readonly bytes: number; readonly total: number; readonly allocated: number } | null;
  /** Bytes of the file that belong to nothing, gaps for alignment included. */
  readonly unusedBytes: number;
  readonly clean: boolean;
  readonly findings: readonly Finding[];
}

/** Looks at all structures and changes nothing. Rejects only when the file itself cannot be read. */
export async function checkVhd(file: ImageFile, rule?: SizeRule): Promise<CheckReport> {
  const fileBytes = await file.bytes();
  let image: VhdImage;
  try {
    image = await readImage(file, rule);
  } catch (error) {
    if (!(error instanceof VhdError)) throw error;
    const findings: Finding[] = [{ severity: 'error', rule: error.rule, text: error.message, repair: 'none' }];
    return { file: file.name, type: null, creator: null, bytes: null, fileBytes, blocks: null, unusedBytes: 0, clean: false, findings };
  }
  const findings = await findProblems(file, image);
  const { table, footer } = image;
  const allocated = table === null ? 0 : table.entries.reduce((count, entry) => count + (entry === UNUSED ? 0 : 1), 0);
  return {
    file: file.name,
    type: footer.type,
    creator: footer.creator,
    bytes: image.bytes,
    fileBytes,
    blocks: table === null ? null : { bytes: table.header.blockBytes, total: table.entries.length, allocated },
    unusedBytes: table === null ? 0 : Math.max(0, fileBytes - FOOTER_BYTES - table.metadataEnd - allocated * blockSpan(table)),
    clean: findings.every(({ severity }) => severity !== 'error'),
    findings,
  };
}

async function findProblems(file: ImageFile, image: VhdImage): Promise<Finding[]> {
  const { footer, table } = image;
  const findings: Finding[] = [];
  if (image.frontProblem !== null) findings.push({ severity: 'error', rule: 'footer-front', text: `footer at the beginning: ${image.frontProblem}`, repair: 'lossless' });
  if (image.backProblem !== null) findings.push({ severity: 'error', rule: 'footer-back', text: `footer at the end: ${image.backProblem}`, repair: 'lossless' });
  if (table !== null && image.frontProblem === null && image.backProblem === null) {
    const [front, back] = [new Uint8Array(FOOTER_BYTES), new Uint8Array(FOOTER_BYTES)];
    await file.read(0, front);
    await file.read(image.backAt, back.subarray(0, Math.min(FOOTER_BYTES, image.fileBytes - image.backAt)));
    if (!sameBytes(front, back)) findings.push({ severity: 'error', rule: 'footers-differ', text: 'the two footers differ; the one at the beginning counts', repair: 'lossless' });
  }
  for (const { text } of tableProblems(image)) findings.push({ severity: 'error', rule: 'block', text, repair: 'drops-block' });
  const byGeometry = geometryBytes(footer.geometry);
  if (footer.currentBytes !== image.bytes) {
    findings.push({ severity: 'warning', rule: 'geometry', text: `the geometry says ${byGeometry} bytes and the footer ${footer.currentBytes}; readers differ in which they take, here it is ${image.bytes}`, repair: 'none' });
  }
  const orphans = image.backAt - endOfUse(image);
  if (table !== null && image.backProblem === null && orphans > 0) findings.push({ severity: 'warning', rule: 'orphans', text: `${orphans} bytes before the footer belong to nothing`, repair: 'lossless' });
  return findings;
}

export interface RepairOptions {
  /** Gives up blocks that point past the end, into the metadata or into each other: their sectors read as zeros then, or as the parent's. */
  readonly dropBlocks?: boolean;
  readonly size?: SizeRule;
}

/** Mends what can be mended, and tells what is left. */
export async function repairVhd(file: ImageFile, options: RepairOptions = {}): Promise<CheckReport> {
  const before = await checkVhd(file, options.size);
  const hopeless = before.type === null || before.findings.every(({ repair }) => repair === 'none');
  if (hopeless) return before;
  let image = await readImage(file, options.size);
  const { table } = image;
  if (table === null) return before;
  if (options.dropBlocks === true) {
    for (const { block } of tableProblems(image)) await file.write(table.header.tableAt + 4 * block, new Uint8Array(4).fill(0xff));
    await file.flush();
    image = await readImage(file, options.size);
  }
  const left = tableProblems(image).length;
  const footer = image.footerBytes;
  await file.write(0, footer);
  await file.flush();
  // While a block is still in doubt nothing is cut off: it may be the very bytes that are missing.
  const end = left === 0 ? endOfUse(image) : Math.max(endOfUse(image), image.backProblem === null ? image.backAt : Math.ceil(image.fileBytes / 512) * 512);
  await file.write(end, footer);
  await file.flush();
  if (end + FOOTER_BYTES < image.fileBytes) await file.resize(end + FOOTER_BYTES);
  await file.flush();
  return checkVhd(file, options.size);
}
