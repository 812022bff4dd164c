/** /dev/kvm, a machine of it and its processors: descriptors and calls, and nothing of what is done with them (KVM API documentation, section 4). */
import { KvmError } from './kvm-error.ts';
import { ENABLE_CAP, INTERRUPT, MSR_ENTRY, MSRS } from './kvm-layout-table.ts';
import { type CallName, CALLS, NUMBERS } from './kvm-number-table.ts';
import { errorName, type Libc, libc, type MappedMemory } from './libc.ts';

const DEVICE = '/dev/kvm';
const MOST_CPUID = 256;
const EINTR = 4, ENOENT = 2, EACCES = 13, EPERM = 1;

/** The device node, open. */
export class KvmDevice {
  readonly libc: Libc;
  readonly fd: number;
  readonly #runBytes: number;

  private constructor(fd: number, c: Libc) {
    this.libc = c;
    this.fd = fd;
    this.#runBytes = c.ioctl(fd, CALLS.KVM_GET_VCPU_MMAP_SIZE, 0);
  }

  /** Throws KvmError with one line on what is missing. */
  static open(path: string = DEVICE): KvmDevice {
    const c = libc();
    const fd = c.open(path);
    if (fd < 0) throw new KvmError(whyNot(path, -fd));
    const version = c.ioctl(fd, CALLS.KVM_GET_API_VERSION, 0);
    if (version !== NUMBERS.KVM_API_VERSION) {
      c.close(fd);
      throw new KvmError(version < 0 ? `${path} is no KVM: ${errorName(-version)}` : `${path} has version ${version} of its API, and ${NUMBERS.KVM_API_VERSION} is expected`);
    }
    return new KvmDevice(fd, c);
  }

  /** 0: not there. */
  extension(capability: number): number { return Math.max(0, this.libc.ioctl(this.fd, CALLS.KVM_CHECK_EXTENSION, capability)); }
  /** Entries of `struct kvm_cpuid_entry2` that processors can have here. */
  supportedCpuid(): Uint8Array {
    const bytes = new Uint8Array(8 + MOST_CPUID * 40);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, MOST_CPUID, true);
    check('KVM_GET_SUPPORTED_CPUID', this.libc.ioctlBytes(this.fd, CALLS.KVM_GET_SUPPORTED_CPUID, bytes));
    return bytes.slice(8, 8 + view.getUint32(0, true) * 40);
  }
  createVm(): KvmVm {
    const { libc: c } = this;
    for (;;) {
      const fd = c.ioctl(this.fd, CALLS.KVM_CREATE_VM, 0);
      if (fd !== -EINTR) return new KvmVm(c, check('KVM_CREATE_VM', fd), this.#runBytes);
    }
  }
  close(): void { this.libc.close(this.fd); }
}

/** Text for people, and what they can do about it. */
function whyNot(path: string, error: number): string {
  if (error === ENOENT) return `there is no ${path}: the processor's virtualisation is off, or the module of the kernel (kvm_intel, kvm_amd) is not loaded`;
  if (error === EACCES || error === EPERM) return `no permission for ${path}: add yourself to its group, usually by "sudo usermod -aG kvm $USER" and a new login`;
  return `${path}: ${errorName(error)}`;
}

function check(what: string, result: number): number {
  if (result < 0) throw new KvmError(`${what}: ${errorName(-result)}`);
  return result;
}

export class KvmVm {
  readonly libc: Libc;
  readonly fd: number;
  readonly #runBytes: number;

  constructor(c: Libc, fd: number, runBytes: number) {
    this.libc = c;
    this.fd = fd;
    this.#runBytes = runBytes;
  }

  /** Throws KvmError. */
  call(name: CallName, argument: number | Uint8Array): number {
    const request = CALLS[name];
    return check(name, typeof argument === 'number' ? this.libc.ioctl(this.fd, request, argument) : this.libc.ioctlBytes(this.fd, request, argument));
  }
  /** HOT: what the call gives; 0: it is refused, or nobody was there. */
  tell(name: CallName, argument: Uint8Array): number { return Math.max(0, this.libc.ioctlBytes(this.fd, CALLS[name], argument)); }
  /** KVM_ENABLE_CAP with one argument (KVM API documentation, section 4.37). Throws KvmError. */
  enable(capability: number, argument: number): void {
    const view = new DataView(new ArrayBuffer(ENABLE_CAP.bytes));
    view.setUint32(ENABLE_CAP.fields.cap[0], capability, true);
    view.setBigUint64(ENABLE_CAP.fields.args[0], BigInt(argument), true);
    this.call('KVM_ENABLE_CAP', new Uint8Array(view.buffer));
  }
  createVcpu(index: number): KvmVcpuFd {
    const fd = check('KVM_CREATE_VCPU', this.libc.ioctl(this.fd, CALLS.KVM_CREATE_VCPU, index));
    try {
      return new KvmVcpuFd(this.libc, fd, this.libc.map(fd, this.#runBytes));
    } catch (error) {
      this.libc.close(fd);
      throw error;
    }
  }
  close(): void { this.libc.close(this.fd); }
}

export class KvmVcpuFd {
  readonly libc: Libc;
  readonly fd: number;
  readonly #memory: MappedMemory;
  readonly #interrupt = new Uint8Array(INTERRUPT.bytes);
  #closed = false;

  constructor(c: Libc, fd: number, memory: MappedMemory) {
    this.libc = c;
    this.fd = fd;
    this.#memory = memory;
  }

  /** The page that KVM_RUN answers in, and the data of port accesses behind it. Not after `close`. */
  get page(): ArrayBuffer { return this.#memory.buffer; }
  get isClosed(): boolean { return this.#closed; }

  /** HOT. 0: look at the page; -4 (EINTR): a signal came, or immediate_exit is set; or minus another error number. */
  run(): number { return this.libc.ioctl(this.fd, CALLS.KVM_RUN, 0); }
  /** Throws KvmError. */
  call(name: CallName, argument: number | Uint8Array): number {
    if (this.#closed) throw new KvmError(`${name}: the machine has been torn down`); // the descriptor may be somebody else's by now
    const request = CALLS[name];
    return check(name, typeof argument === 'number' ? this.libc.ioctl(this.fd, request, argument) : this.libc.ioctlBytes(this.fd, request, argument));
  }
  /** A structure that the call fills. */
  read(name: CallName, bytes: number): DataView {
    const into = new Uint8Array(bytes);
    this.call(name, into);
    return new DataView(into.buffer);
  }
  write(name: CallName, from: DataView): void { this.call(name, new Uint8Array(from.buffer, from.byteOffset, from.byteLength)); }
  /** False: it was not ready for one. */
  interrupt(vector: number): boolean {
    this.#interrupt[0] = vector;
    return this.libc.ioctlBytes(this.fd, CALLS.KVM_INTERRUPT, this.#interrupt) >= 0;
  }

  /** Values of registers, as far as there are such: KVM stops at the first that there is not. */
  readMsrs(indices: readonly number[]): Map<number, bigint> {
    const found = new Map<number, bigint>();
    for (const index of this.#closed ? [] : indices) {
      const view = msrs([[index, 0n]]);
      if (this.libc.ioctlBytes(this.fd, CALLS.KVM_GET_MSRS, new Uint8Array(view.buffer)) === 1) found.set(index, view.getBigUint64(MSRS.bytes + MSR_ENTRY.fields.data[0], true));
    }
    return found;
  }
  /** The indices that were refused. */
  writeMsrs(values: Iterable<readonly [index: number, value: bigint]>): number[] {
    const refused: number[] = [];
    for (const [index, value] of values) {
      if (this.#closed || this.libc.ioctlBytes(this.fd, CALLS.KVM_SET_MSRS, new Uint8Array(msrs([[index, value]]).buffer)) !== 1) refused.push(index);
    }
    return refused;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.libc.unmap(this.#memory);
    this.libc.close(this.fd);
  }
}

function msrs(entries: readonly (readonly [index: number, value: bigint])[]): DataView {
  const view = new DataView(new ArrayBuffer(MSRS.bytes + entries.length * MSR_ENTRY.bytes));
  view.setUint32(0, entries.length, true);
  entries.forEach(([index, value], i) => {
    view.setUint32(MSRS.bytes + i * MSR_ENTRY.bytes, index, true);
    view.setBigUint64(MSRS.bytes + i * MSR_ENTRY.bytes + MSR_ENTRY.fields.data[0], BigInt.asUintN(64, value), true);
  });
  return view;
}
