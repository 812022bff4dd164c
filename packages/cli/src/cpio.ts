/** One entry of an archive. Folders come before what lies in them. */
export type CpioEntry =
  | { readonly kind: 'folder'; readonly path: string; readonly mode?: number }
  | { readonly kind: 'file'; readonly path: string; readonly bytes: Uint8Array; readonly mode?: number }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'character-device'; readonly path: string; readonly major: number; readonly minor: number; readonly mode?: number };

// File types of st_mode.
const TYPE_FOLDER = 0o040000;
const TYPE_CHARACTER_DEVICE = 0o020000;
const TYPE_FILE = 0o100000;
const TYPE_LINK = 0o120000;
const TRAILER = 'TRAILER!!!';
const BLOCK_BYTES = 512;

/**
 * A cpio archive in the "new ASCII" format, which the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst).
 * Owner is root and all times are 0, so the same entries give the same bytes.
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let length = 0;
  const add = (bytes: Uint8Array, align: number): void => {
    parts.push(bytes);
    length += bytes.length;
    const padding = -length & (align - 1);
    if (padding > 0) parts.push(new Uint8Array(padding));
    length += padding;
  };
  entries.forEach((entry, i) => {
    add(encodeHeader(entry, i + 1), 4);
    add(contentOf(entry), 4);
  });
  add(encodeHeader({ kind: 'file', path: TRAILER, bytes: new Uint8Array(0), mode: 0 }, 0), 4);
  add(new Uint8Array(0), BLOCK_BYTES);
  const archive = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

function encodeHeader(entry: CpioEntry, inode: number): Uint8Array {
  const name = new TextEncoder().encode(`${entry.path}\0`);
  const [major, minor] = entry.kind === 'character-device' ? [entry.major, entry.minor] : [0, 0];
  const links = entry.kind === 'folder' ? 2 : 1;
  const fields = [inode, modeOf(entry), 0, 0, links, 0, contentOf(entry).length, 0, 0, major, minor, name.length, 0];
  const header = new TextEncoder().encode(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  const bytes = new Uint8Array(header.length + name.length);
  bytes.set(header);
  bytes.set(name, header.length);
  return bytes;
}

function modeOf(entry: CpioEntry): number {
  switch (entry.kind) {
    case 'folder': return TYPE_FOLDER | (entry.mode ?? 0o755);
    case 'file': return entry.path === TRAILER ? 0 : TYPE_FILE | (entry.mode ?? 0o644);
    case 'link': return TYPE_LINK | 0o777;
    case 'character-device': return TYPE_CHARACTER_DEVICE | (entry.mode ?? 0o600);
  }
}

function contentOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === 'file') return entry.bytes;
  return new TextEncoder().encode(entry.kind === 'link' ? entry.target : '');
}
