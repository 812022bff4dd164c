import { createRequire } from 'node:module';
import { findOracle } from '@vm/testkit/oracle';
import { bochsCommand, type GuestFiles, ourCommand, QEMU, qemuCommand, v86Command } from './guest-commands.ts';

export type Bits = 32 | 64;
export const PEER_NAMES = ['qemu', 'v86', 'bochs'] as const;
export type PeerName = (typeof PEER_NAMES)[number];
export type SideName = 'vm' | PeerName;

/** A program with a guest in it. */
export interface Side {
  readonly title: string;
  readonly bits: readonly Bits[];
  /** What the host lacks of it, null when it is all there. */
  readonly missing: () => string | null;
  /** For programs in the guest's shell, and for a boot. */
  readonly command: (files: GuestFiles) => readonly string[];
  readonly bootCommand: (files: GuestFiles) => readonly string[];
}

/** The same features and maker on both sides, so that the C library and the kernel choose the same code. */
const OUR_CPU = ['--cpu-model', 'x86-64-v2'];
const QEMU_CPU = 'qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm,+rdrand,+aes,+pclmulqdq';
/** v86 brings no BIOS; Debian's is what it was written for. */
const V86_FILES = ['/usr/share/seabios/bios.bin', '/usr/share/seabios/vgabios-stdvga.bin'];

function missingTool(tool: string): string | null {
  return findOracle(tool) === null ? `${tool} is not installed` : null;
}
function missingV86(): string | null {
  try {
    createRequire(import.meta.url).resolve('v86');
  } catch {
    return 'the package v86 is not installed';
  }
  return V86_FILES.map((file) => (findOracle(file) === null ? `there is no ${file}, which Debian has in seabios` : null)).find((text) => text !== null) ?? null;
}

export const SIDES: Readonly<Record<SideName, Side>> = {
  vm: {
    title: 'vm', bits: [32, 64], missing: () => null,
    command: (files) => ourCommand(files, ['--translator', 'on', ...OUR_CPU, '--stats=json']),
    bootCommand: (files) => ourCommand(files, OUR_CPU, 'built'),
  },
  qemu: { title: 'QEMU TCG', bits: [32, 64], missing: () => missingTool(QEMU), command: (files) => qemuCommand(files, QEMU_CPU), bootCommand: (files) => qemuCommand(files, QEMU_CPU) },
  v86: { title: 'v86', bits: [32], missing: missingV86, command: v86Command, bootCommand: v86Command },
  bochs: { title: 'Bochs', bits: [32], missing: () => missingTool('bochs'), command: bochsCommand, bootCommand: bochsCommand },
};
