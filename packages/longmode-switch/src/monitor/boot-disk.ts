/** A disk that a PC's BIOS boots: the first sector loads the image that multiboot would load. */
import { addressOf, CONDITION_B, CONDITION_NE, control, CR0_PE, createAssembler, DS, ES, far, mem, r16, r32, r8, RAX, RCX, RDI, RDX, RSI, RSP, segment, SS } from '@vm/x86';

const SECTOR = 512;
const LOADED_AT = 0x7c00;
/** What one request of the BIOS reads, to where it reaches. */
const CHUNK_SECTORS = 64;
const BUFFER = 0x1_0000;
/** Disks are made of whole cylinders of 16 heads and 63 sectors. */
export const CYLINDER_BYTES: number = 16 * 63 * SECTOR;
const CODE = 8;
const DATA = 16;
const SIGNATURE_AT = 510;

/** `image` lies at `loadAddress` afterwards and is entered there, in 32-bit protected mode. */
export function buildBootDisk(image: Uint8Array, loadAddress: number): Uint8Array {
  const chunks = Math.ceil(image.length / (CHUNK_SECTORS * SECTOR));
  const sector = bootSector(loadAddress, chunks);
  const disk = new Uint8Array(Math.ceil((SECTOR + chunks * CHUNK_SECTORS * SECTOR) / CYLINDER_BYTES) * CYLINDER_BYTES);
  disk.set(sector);
  disk.set(image, SECTOR);
  return disk;
}

function bootSector(loadAddress: number, chunks: number): Uint8Array {
  const a = createAssembler(16, { origin: LOADED_AT });
  const cr0 = control(0);
  a.cli().xor(r16(RAX), r16(RAX)).mov(segment(DS), r16(RAX)).mov(segment(SS), r16(RAX)).mov(r16(RSP), LOADED_AT).mov(mem(1, { label: 'drive' }), r8(RDX)).sti();
  // A20 by the fast gate, which PCs have had since 1987.
  a.in(r8(RAX), 0x92).or(r8(RAX), 2).and(r8(RAX), 0xfe).out(0x92, r8(RAX));
  a.label('next').mov(r16(RSI), addressOf('packet')).mov(r8(RDX), mem(1, { label: 'drive' })).mov(r16(RAX), 0x4200).int(0x13).jcc(CONDITION_B, 'error');
  // Above 1 MiB only protected mode stores; the BIOS may have taken it back since the last time.
  a.cli().size(4).lgdt(mem(0, { label: 'pointer' })).mov(r32(RAX), cr0).or(r8(RAX), CR0_PE).mov(cr0, r32(RAX)).jmp('protected').label('protected').mov(r16(RCX), DATA).mov(segment(DS), r16(RCX)).mov(segment(ES), r16(RCX));
  a.mov(r32(RSI), BUFFER).mov(r32(RDI), mem(4, { label: 'to' })).mov(r32(RCX), (CHUNK_SECTORS * SECTOR) / 4).cld();
  a.label('copy').mov(r32(RAX), mem(4, { base: RSI, addressBytes: 4 })).mov(mem(4, { base: RDI, addressBytes: 4 }), r32(RAX)).add(r32(RSI), 4).add(r32(RDI), 4).dec(r32(RCX)).jcc(CONDITION_NE, 'copy').mov(mem(4, { label: 'to' }), r32(RDI));
  a.dec(mem(2, { label: 'left' })).jcc(CONDITION_NE, 'more').size(4).jmpf(far(CODE, 'loaded'));
  a.label('more').mov(r32(RAX), cr0).and(r8(RAX), 0xfe).mov(cr0, r32(RAX)).jmpf(far(0, 'real')).label('real').xor(r16(RAX), r16(RAX)).mov(segment(DS), r16(RAX)).mov(segment(ES), r16(RAX)).sti();
  a.add(mem(2, { label: 'block' }), CHUNK_SECTORS).jmp('next');
  a.label('error').mov(r16(RAX), 0x0e45).int(0x10).cli().hlt();
  a.mode(32).label('loaded').mov(r32(RAX), DATA).mov(segment(SS), r16(RAX)).mov(r32(RAX), loadAddress).jmp(r32(RAX));
  a.mode(16).align(8).label('table').data(0, 0, 0, 0, 0, 0, 0, 0).data(0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0).data(0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0).label('pointer').data(23, 0).dataAddress('table', 4);
  a.label('drive').data(0).label('left').data(chunks & 0xff, chunks >> 8).label('to').data(loadAddress & 0xff, (loadAddress >> 8) & 0xff, (loadAddress >> 16) & 0xff, loadAddress >>> 24);
  // Packet of INT 13h, AH=42h: sectors, buffer, first block.
  a.label('packet').data(16, 0, CHUNK_SECTORS, 0, 0, 0, (BUFFER >> 4) & 0xff, BUFFER >> 12).label('block').data(1, 0, 0, 0, 0, 0, 0, 0);
  const sector = new Uint8Array(SECTOR);
  const code = a.bytes();
  sector.set(code);
  sector.set([0x55, 0xaa], SIGNATURE_AT);
  if (code.length > SIGNATURE_AT) throw new RangeError(`the boot sector's code has ${code.length} bytes`);
  return sector;
}
