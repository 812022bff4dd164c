import type { StopReason } from '@vm/core';
import { bootGuest, type Guest, type GuestOptions, type KernelEntry } from '@vm/pc';
import { describeProcessor, wasmEngine, type CpuModelName, type WasmVcpu } from '@vm/vcpu-wasm';
import { ESCAPE_HELP, type EscapeCommand, EscapeKeys } from './escape-keys.ts';
import { EXIT_BROKEN, EXIT_CRASH, EXIT_FINE, EXIT_SIGNAL, EXIT_TIMEOUT } from './exit-code.ts';
import { formatDuration } from './duration.ts';
import { collectStatistics, formatStatistics } from './statistics.ts';
import { Terminal, type TerminalStreams } from './terminal.ts';
import { TextWatch } from './text-watch.ts';

/** Everything about one run of `vm boot`. */
export interface BootSession {
  readonly kernel: Uint8Array;
  readonly entry?: KernelEntry;
  readonly initrd?: Uint8Array;
  readonly append?: string;
  /** The processor that the guest sees; default the engine's. */
  readonly cpuModel?: CpuModelName;
  readonly memoryBytes: number;
  readonly timeoutMs?: number;
  readonly exitOn?: string;
  readonly statistics?: 'text' | 'json';
  readonly clock: 'host' | 'virtual';
  readonly script?: { readonly lines: readonly string[]; readonly prompt: string };
  readonly onReset: 'boot' | 'end';
  readonly verbose: boolean;
}

/** How it ended: the exit code, and what to say about it. */
interface End {
  readonly code: number;
  readonly text: string | null;
  readonly crash?: boolean;
}

const VIRTUAL_NANOS_PER_INSTRUCTION = 10;
const VIRTUAL_START_MS = Date.UTC(2025, 0, 1); // the same on every run
const MOST_UNTAKEN = 1 << 16; // typed bytes, before the typist waits
const PANIC = '---[ end Kernel panic - not syncing';
const SIGNALS: Readonly<Partial<Record<NodeJS.Signals, number>>> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 };

/** Boots a guest with its serial console on the terminal and stays until one of the two has enough. Returns the exit code. */
export async function runBootSession(session: BootSession, streams: TerminalStreams): Promise<number> {
  const terminal = new Terminal(streams);
  const begin = performance.now();
  let finish: (end: End) => void = () => {};
  const finished = new Promise<End>((resolve) => (finish = resolve));
  const exitOn = session.exitOn === undefined ? null : new TextWatch(session.exitOn);
  const panic = new TextWatch(PANIC);
  let hold = (): void => {};
  const guest = await bootGuest({
    ...boardOf(session),
    typing: terminal.interactive ? 'at-once' : 'when-listening',
    log: (source, level, text) => {
      if (level === 'warn' || session.verbose) terminal.tell(`vm: ${source}: ${text}`);
    },
    onOutput: (bytes) => {
      if (!terminal.write(bytes)) hold();
      if (exitOn?.feed(bytes) === true) finish({ code: EXIT_FINE, text: null });
      if (panic.feed(bytes)) finish({ code: EXIT_CRASH, text: 'the guest has panicked', crash: true });
    },
  });
  hold = holdGuest(guest, terminal);
  const listening = listenToSignals(guest, terminal, finish);
  const timer = session.timeoutMs === undefined ? null : setTimeout(() => finish({ code: EXIT_TIMEOUT, text: `still running after ${formatDuration(session.timeoutMs!)}` }), session.timeoutMs);
  try {
    void guest.ended().then((reason) => finish(endOf(reason)));
    const keys = new EscapeKeys({ type: (bytes) => guest.type(bytes), command: (command) => obey(command, guest, terminal, begin, finish) });
    terminal.open(
      (bytes) => {
        if (terminal.interactive) keys.feed(bytes);
        else guest.type(bytes);
        if (guest.untaken > MOST_UNTAKEN) void terminal.holdInput(guest.taken());
      },
      () => finish({ code: EXIT_BROKEN, text: null }),
    );
    if (session.script !== undefined) void typeScript(guest, session.script);
    const end = await finished;
    await guest.machine.pause();
    if (end.text !== null) terminal.tell(`vm: ${end.text}`);
    if (end.crash === true) terminal.tell(describeProcessor(guest.machine.vcpu));
    if (session.statistics !== undefined) {
      const statistics = collectStatistics(guest.machine, performance.now() - begin);
      terminal.tell(session.statistics === 'json' ? JSON.stringify(statistics) : formatStatistics(statistics));
    }
    return end.code;
  } finally {
    if (timer !== null) clearTimeout(timer);
    listening.stop();
    await terminal.close();
    await guest[Symbol.asyncDispose]();
  }
}

/** The machine that a session boots. */
export function boardOf(session: Pick<BootSession, 'kernel' | 'entry' | 'initrd' | 'append' | 'memoryBytes' | 'clock' | 'onReset' | 'cpuModel'>): GuestOptions<WasmVcpu> {
  const virtual = session.clock === 'virtual';
  return {
    engine: wasmEngine(session.cpuModel === undefined ? {} : { cpuModel: session.cpuModel }),
    ramBytes: session.memoryBytes,
    kernel: session.kernel,
    ...(session.entry === undefined ? {} : { entry: session.entry }),
    ...(session.initrd === undefined ? {} : { initrd: session.initrd }),
    ...(session.append === undefined ? {} : { commandLine: session.append }),
    clock: virtual ? { kind: 'virtual', nanosPerInstruction: VIRTUAL_NANOS_PER_INSTRUCTION } : { kind: 'host' },
    startMs: virtual ? VIRTUAL_START_MS : Date.now(),
    onReset: session.onReset,
  };
}

/** Types a script: each line when the prompt has come. The guest may end before its last line; then nobody reads the rest. */
async function typeScript(guest: Guest<WasmVcpu>, script: NonNullable<BootSession['script']>): Promise<void> {
  try {
    for (const line of script.lines) {
      await guest.waitFor(script.prompt);
      guest.type(`${line}\n`);
    }
  } catch {
    // the end of the guest is told by whoever waits for it
  }
}

/** Machine time stands still while the reader of the output is behind. */
function holdGuest(guest: Guest<WasmVcpu>, terminal: Terminal): () => void {
  let held = false;
  let ended = false;
  void guest.ended().then(() => (ended = true));
  const wait = async (): Promise<void> => {
    await guest.machine.pause();
    await terminal.drained();
    held = false;
    if (!ended && guest.machine.phase === 'running') await guest.machine.resume();
  };
  return () => {
    if (held || ended) return;
    held = true;
    void wait();
  };
}

function listenToSignals(guest: Guest<WasmVcpu>, terminal: Terminal, finish: (end: End) => void): { stop(): void } {
  let pressed = false;
  const listen = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGTERM' && !pressed) {
      pressed = true;
      terminal.tell('vm: SIGTERM presses the power button; a second one ends the machine at once');
      guest.pressPowerButton();
    } else finish({ code: EXIT_SIGNAL + SIGNALS[signal]!, text: `ended by ${signal}` });
  };
  const names = Object.keys(SIGNALS) as NodeJS.Signals[];
  for (const name of names) process.on(name, listen);
  return { stop: () => names.forEach((name) => process.off(name, listen)) };
}

function obey(command: EscapeCommand, guest: Guest<WasmVcpu>, terminal: Terminal, begin: number, finish: (end: End) => void): void {
  switch (command) {
    case 'quit': return finish({ code: EXIT_FINE, text: null });
    case 'help': return terminal.tell(ESCAPE_HELP.join('\n'));
    case 'statistics': return terminal.tell(formatStatistics(collectStatistics(guest.machine, performance.now() - begin)));
    case 'power-button': return guest.pressPowerButton();
    case 'reset': return guest.machine.requestStop('reset');
  }
}

function endOf(reason: StopReason): End {
  switch (reason) {
    case 'power-off': return { code: EXIT_FINE, text: null };
    case 'reset': return { code: EXIT_FINE, text: 'the guest has reset the machine' };
    case 'shutdown': return { code: EXIT_CRASH, text: 'the processor has shut down: an exception while it delivered a double fault', crash: true };
    case 'aborted': return { code: EXIT_BROKEN, text: 'aborted' };
    case 'faulted':
    case 'failed': return { code: EXIT_BROKEN, text: 'the machine has failed', crash: true };
  }
}
