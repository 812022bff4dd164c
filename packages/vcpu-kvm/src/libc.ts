/** The few functions of the C library that KVM is driven with, called in place through koffi. Nothing here is loaded before it is asked for. */
import { KvmError } from './kvm-error.ts';

/** Raw numbers, so that it does not matter which C library there is, and how old it is (<asm/unistd_64.h>). */
const SYS_RT_SIGPROCMASK = 14, SYS_RT_SIGTIMEDWAIT = 128, SYS_GETTID = 186, SYS_TIMER_CREATE = 222, SYS_TIMER_SETTIME = 223, SYS_TIMER_DELETE = 226, SYS_TGKILL = 234;
const SIGNAL_SET_BYTES = 8; // of the kernel, not of the C library
const FAILED = 0xffff_ffff_ffff_ffffn;
const O_RDWR = 2, O_CLOEXEC = 0o2000000;
const PROT_READ_WRITE = 3, MAP_SHARED = 1, MAP_ANONYMOUS = 0x22;
const EINTR = 4;
const ERRORS: Readonly<Record<number, string>> = { 1: 'EPERM', 2: 'ENOENT', 4: 'EINTR', 6: 'ENXIO', 7: 'E2BIG', 9: 'EBADF', 11: 'EAGAIN', 12: 'ENOMEM', 13: 'EACCES', 14: 'EFAULT', 16: 'EBUSY', 17: 'EEXIST', 19: 'ENODEV', 22: 'EINVAL', 24: 'EMFILE', 25: 'ENOTTY' };

/** Memory that is not V8's. The bytes are gone, and the view must not be used any more, after `unmap`. */
export interface MappedMemory {
  readonly buffer: ArrayBuffer;
  readonly address: bigint;
  readonly bytes: number;
}

export interface Libc {
  /** A descriptor, or minus the error number. */
  open(path: string): number;
  close(fd: number): void;
  /** HOT. What the call gives, or minus the error number. */
  ioctl(fd: number, request: number, argument: number): number;
  /** The same with a structure. */
  ioctlBytes(fd: number, request: number, bytes: Uint8Array): number;
  /** -1 in place of a descriptor: memory of nobody, all zeros. Throws KvmError. */
  map(fd: number, bytes: number): MappedMemory;
  unmap(memory: MappedMemory): void;
  /** Where memory of JavaScript lies. It stays there only if it is that of a `WebAssembly.Memory`. */
  addressOf(bytes: Uint8Array): bigint;
  threadId(): number;
  /** Blocks the signal in this thread; what the thread blocked before, a bit a signal. */
  blockSignal(signal: number): bigint;
  /** Takes the signal if it is pending. */
  takeSignal(signal: number): boolean;
  sendSignal(thread: number, signal: number): void;
  /** A timer that sends a signal to a thread. Throws KvmError. */
  createTimer(thread: number, signal: number): number;
  /** 0: never. */
  setTimer(timer: number, nanos: number): void;
  /** Again and again. */
  repeatTimer(timer: number, nanos: number): void;
  deleteTimer(timer: number): void;
}

type Call<Result> = (...args: unknown[]) => Result;
/** What of the package is used. */
interface Koffi {
  load(path: null): { func(definition: string): unknown; func(name: string, result: string, parameters: readonly string[]): unknown };
  view(address: bigint, bytes: number): ArrayBuffer;
  address(bytes: Uint8Array): bigint;
  errno(): number;
}

let loaded: Libc | null = null;

/** Throws KvmError with one line on what is missing. */
export function libc(): Libc {
  return (loaded ??= load());
}

export function errorName(number: number): string { return ERRORS[number] ?? `error ${number}`; }

function load(): Libc {
  const host = (globalThis as { readonly process?: NodeJS.Process }).process;
  if (host?.platform !== 'linux' || host.arch !== 'x64') throw new KvmError(`it is there on Linux on x86-64; this is ${host === undefined ? 'no Node.js' : `${host.platform} on ${host.arch}`}`);
  const koffi = loadKoffi(host);
  const program = koffi.load(null);
  const open = program.func('int open(const char *path, int flags)') as Call<number>;
  const close = program.func('int close(int fd)') as Call<number>;
  // Not as the variadic functions that they are: the arguments are passed the same way, and faster.
  const ioctl = program.func('ioctl', 'int', ['int', 'unsigned long', 'int64_t']) as (fd: number, request: number, argument: number) => number;
  const ioctlBytes = program.func('ioctl', 'int', ['int', 'unsigned long', 'void *']) as (fd: number, request: number, bytes: Uint8Array) => number;
  const mmap = program.func('void *mmap(void *address, size_t bytes, int protection, int flags, int fd, long offset)') as Call<bigint>;
  const munmap = program.func('int munmap(void *address, size_t bytes)') as Call<number>;
  const plain = program.func('syscall', 'long', ['long', 'long', 'long', 'long']) as Call<number>;
  const pointers = program.func('syscall', 'long', ['long', 'long', 'void *', 'void *', 'long']) as Call<number>;
  const timed = program.func('syscall', 'long', ['long', 'void *', 'void *', 'void *', 'long']) as Call<number>;
  const timer = program.func('syscall', 'long', ['long', 'long', 'long', 'void *', 'void *']) as Call<number>;
  const errno = (): number => koffi.errno();
  const check = (what: string, result: number): number => {
    if (result < 0) throw new KvmError(`${what}: ${errorName(errno())}`);
    return result;
  };
  const setOf = (signal: number): BigUint64Array => new BigUint64Array([1n << BigInt(signal - 1)]);
  const noTime = new BigInt64Array(2);
  const when = new BigInt64Array(4); // interval and value, seconds and nanoseconds each
  const sets = new Map<number, BigUint64Array>();
  return {
    open: (path) => {
      const fd = open(path, O_RDWR | O_CLOEXEC);
      return fd < 0 ? -errno() : fd;
    },
    close: (fd) => void close(fd),
    ioctl: (fd, request, argument) => {
      const result = ioctl(fd, request, argument);
      return result < 0 ? -errno() : result;
    },
    ioctlBytes: (fd, request, bytes) => {
      const result = ioctlBytes(fd, request, bytes);
      return result < 0 ? -errno() : result;
    },
    map: (fd, bytes) => {
      const address = mmap(null, bytes, PROT_READ_WRITE, fd < 0 ? MAP_ANONYMOUS : MAP_SHARED, fd, 0);
      if (address === FAILED || address === -1n) throw new KvmError(`mmap of ${bytes} bytes: ${errorName(errno())}`);
      return { buffer: koffi.view(address, bytes), address, bytes };
    },
    unmap: ({ address, bytes }) => void munmap(address, bytes),
    addressOf: (bytes) => koffi.address(bytes),
    threadId: () => plain(SYS_GETTID, 0, 0, 0),
    blockSignal: (signal) => {
      const before = new BigUint64Array(1);
      check('rt_sigprocmask', pointers(SYS_RT_SIGPROCMASK, 0, setOf(signal), before, SIGNAL_SET_BYTES));
      return before[0]!;
    },
    takeSignal: (signal) => {
      let set = sets.get(signal);
      if (set === undefined) sets.set(signal, (set = setOf(signal)));
      for (;;) {
        if (timed(SYS_RT_SIGTIMEDWAIT, set, null, noTime, SIGNAL_SET_BYTES) >= 0) return true;
        if (errno() !== EINTR) return false;
      }
    },
    sendSignal: (thread, signal) => void plain(SYS_TGKILL, host.pid, thread, signal),
    createTimer: (thread, signal) => {
      // struct sigevent: value, signal, SIGEV_THREAD_ID, thread.
      const event = new Int32Array(16);
      event.set([signal, 4, thread], 2);
      const id = new Int32Array(2);
      check('timer_create', pointers(SYS_TIMER_CREATE, 1, event, id, 0));
      return id[0]!;
    },
    setTimer: (id, nanos) => {
      when[2] = BigInt(Math.floor(nanos / 1e9));
      when[3] = BigInt(Math.floor(nanos % 1e9));
      timer(SYS_TIMER_SETTIME, id, 0, when, null);
    },
    repeatTimer: (id, nanos) => {
      const [seconds, rest] = [BigInt(Math.floor(nanos / 1e9)), BigInt(Math.floor(nanos % 1e9))];
      timer(SYS_TIMER_SETTIME, id, 0, new BigInt64Array([seconds, rest, seconds, rest]), null);
    },
    deleteTimer: (id) => void plain(SYS_TIMER_DELETE, id, 0, 0),
  };
}

function loadKoffi(host: NodeJS.Process): Koffi {
  try {
    const { createRequire } = host.getBuiltinModule('node:module');
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch (cause) {
    throw new KvmError('it needs the package koffi, which is not installed or has no binary for this host', { cause });
  }
}
