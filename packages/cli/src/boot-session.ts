import { bootGuest, type Guest, type GuestMoment } from '@vm/pc';
import { type BareProgram, BareRun } from './bare-program.ts';
import { type BoardSettings, boardOf } from './boot-board.ts';
import { type BootMoment, BootPhases } from './boot-phases.ts';
import { describeCrash } from './crash-report.ts';
import { formatDuration } from './duration.ts';
import { ESCAPE_HELP, type EscapeCommand, EscapeKeys } from './escape-keys.ts';
import { EXIT_BROKEN, EXIT_CRASH, EXIT_FINE, EXIT_SIGNAL, EXIT_TIMEOUT } from './exit-code.ts';
import { hotRegionsOf } from './hot-regions.ts';
import { explainFileError } from './host-file.ts';
import { basisOf, type InputLog, InputRecorder } from './input-log.ts';
import { traceLifecycle } from './lifecycle-trace.ts';
import type { MachineVcpu } from './machine-vcpu.ts';
import { endOf, type SessionEnd } from './session-end.ts';
import { listenToSignals } from './session-signals.ts';
import { openControl } from './control-socket.ts';
import type { LaterDevices } from './later-devices.ts';
import { LiveDisk } from './live-disk.ts';
import { MachineControl } from './machine-control.ts';
import { MachineHotPlug } from './machine-hot-plug.ts';
import type { SnapshotOrigin } from './snapshot-origin.ts';
import { collectStatistics, formatStatistics, type Statistics } from './statistics.ts';
import type { SymbolTable } from './symbol-table.ts';
import { Terminal, type TerminalStreams } from './terminal.ts';
import { sizeCommand, terminalWords } from './terminal-words.ts';

/** Everything about one run of `vm boot`. */
export interface BootSession extends BoardSettings {
  readonly timeoutMs?: number;
  readonly exitOn?: string;
  readonly statistics?: 'text' | 'json';
  readonly script?: { readonly lines: readonly string[]; readonly prompt: string };
  readonly verbose: boolean;
  /** What to print of what the machine does with its devices. */
  readonly trace?: 'lifecycle';
  /** How many of the hottest regions of translated code are listed at the end; absent: none are traced. */
  readonly traceHot?: number;
  /** The guest gets an exception for an instruction in kernel mode that the processor does not have; otherwise that is the end. */
  readonly keepGoing?: boolean;
  readonly record?: string; // path
  readonly replay?: InputLog;
  readonly symbols?: SymbolTable;
  /** Opens a control socket of that name. */
  readonly name?: string;
  /** What the machine can be made of again after it was saved. */
  readonly origin?: SnapshotOrigin;
  /** Where devices of directories come from that are to come later. */
  readonly plugIns?: LaterDevices;
  /** Of the saved machine that it goes on with, unless it is a fork. */
  readonly instance?: string;
  /** It runs a program without an operating system, not a kernel. */
  readonly bare?: BareProgram;
}

/** What shells of root end their prompts with. */
export const DEFAULT_PROMPT = '# ';

const MOST_UNTAKEN = 1 << 16; // typed bytes, before the typist waits
const PANIC = '---[ end Kernel panic - not syncing';
const SLOW_INPUT_MS = 2000;
const PHASES: Readonly<Record<GuestMoment, string>> = { output: 'to the first output', listening: 'to the open console', reset: 'to the reset' };

/** Boots a guest with its serial console on the terminal and stays until one of the two has enough. Returns the exit code. */
export async function runBootSession(session: BootSession, streams: TerminalStreams): Promise<number> {
  const terminal = new Terminal(streams);
  const words = session.replay?.basis.terminal ?? terminalWords(streams, process.env);
  const typed = await readInputFirst(session, terminal);
  return new SessionRun(session, terminal, words).run(typed);
}

/**
 * Under the virtual clock the moment at which input comes must not depend on the host, so input that is no terminal is read to
 * its end first. Null: it is typed as it comes, or not wanted.
 */
async function readInputFirst(session: BootSession, terminal: Terminal): Promise<Uint8Array | null> {
  if (session.clock !== 'virtual' || terminal.interactive || !wantsInput(session) || session.record !== undefined) return null;
  const slow = setTimeout(() => terminal.tell('vm: --clock virtual reads the input to its end before it starts; it is still open (</dev/null means none)'), SLOW_INPUT_MS);
  try {
    return await terminal.readAll();
  } finally {
    clearTimeout(slow);
  }
}

/** A script or a record takes the place of input that is no terminal. */
function wantsInput(session: BootSession): boolean {
  return session.script === undefined && session.replay === undefined;
}

/** One run, from power-up to the last line. */
class SessionRun {
  readonly #session: BootSession;
  readonly #terminal: Terminal;
  readonly #words: string; // for the kernel's command line
  readonly #begin = performance.now();
  readonly #phases = new BootPhases({ atMs: this.#begin, instructions: 0, nanos: 0 });
  readonly #finished: Promise<SessionEnd>;
  #finish: (end: SessionEnd) => void = () => {};
  #guest: Guest<MachineVcpu> | null = null; // there before its first instruction
  #poweredUpMs = 0;
  #prompted = false;
  #recorder: InputRecorder | null = null;
  #hotPlug: MachineHotPlug | null = null;
  #release: (() => void) | null = null; // of a guest that waits for the reader of its output

  constructor(session: BootSession, terminal: Terminal, words: string) {
    this.#session = session;
    this.#terminal = terminal;
    this.#words = words;
    this.#finished = new Promise((resolve) => (this.#finish = resolve));
  }

  async run(typed: Uint8Array | null): Promise<number> {
    const guest = await this.#boot();
    const { timeoutMs, script } = this.#session;
    this.#guest = guest;
    this.#poweredUpMs = performance.now();
    this.#phases.end('to the first instruction', this.#moment());
    let timer: ReturnType<typeof setTimeout> | null = null;
    let stopListening = (): void => {};
    let closeControl = (): Promise<void> => Promise.resolve();
    try {
      closeControl = await this.#openControl(guest);
      this.#startRecords(guest);
      stopListening = this.#listen(guest);
      if (timeoutMs !== undefined) timer = setTimeout(() => this.#finish({ code: EXIT_TIMEOUT, text: `still running after ${formatDuration(timeoutMs)}` }), timeoutMs);
      void guest.ended().then((reason) => this.#finish(endOf(reason)));
      this.#openTerminal(guest);
      if (typed !== null) guest.type(typed);
      if (script !== undefined) void typeScript(guest, script);
      return await this.#conclude(guest, await this.#finished);
    } finally {
      if (timer !== null) clearTimeout(timer);
      stopListening();
      await closeControl();
      await this.#terminal.close();
      await guest[Symbol.asyncDispose]();
      await this.#hotPlug?.close();
    }
  }

  #boot(): Promise<Guest<MachineVcpu>> {
    const { exitOn, script, replay, verbose, keepGoing, bare, trace, traceHot, append = '', name } = this.#session;
    const unknownInKernel = (text: string): void => this.#stop({ code: EXIT_CRASH, text: `unknown instruction in kernel mode: ${text}`, crash: true });
    const run = bare === undefined ? null : new BareRun(bare, (end) => this.#stop(end), (text) => verbose && this.#terminal.tell(`vm: ${text}`));
    // Programs that test a processor try instructions that it does not have.
    const told = run === null ? (keepGoing === true ? {} : { unknownInKernel }) : { haltedForGood: () => run.haltedForGood() };
    return bootGuest({
      ...boardOf({ ...this.#session, append: run === null ? `${append} ${this.#words}`.trim() : append, movable: name !== undefined }, { ...told, traceRegions: traceHot !== undefined }),
      ...(run === null ? {} : { devices: [...run.devices(), ...(this.#session.devices ?? [])], firmwareConfig: true }),
      ...(typeof bare?.charPort === 'number' ? { consolePort: bare.charPort } : {}),
      typing: this.#basis().typing,
      log: (source, level, text) => {
        if (level === 'warn' || verbose) this.#terminal.tell(`vm: ${source}: ${text}`);
      },
      ...(trace === undefined ? {} : { trace: traceLifecycle((line) => this.#terminal.tell(line)) }),
      onOutput: (bytes) => {
        if (!this.#terminal.write(bytes)) this.#waitForReader();
      },
      onMoment: (moment) => this.#phases.end(PHASES[moment], this.#moment()),
      watch: [
        { text: PANIC, seen: () => this.#stop({ code: EXIT_CRASH, text: 'the guest has panicked', crash: true }) },
        exitOn === undefined ? { text: script?.prompt ?? DEFAULT_PROMPT, seen: () => this.#notePrompt() } : { text: exitOn, seen: () => this.#stop({ code: EXIT_FINE, text: null }) },
      ],
      onInput: (stamped) => this.#recorder?.add(stamped),
      ...(replay === undefined ? {} : { replay: replay.inputs }),
    });
  }

  #basis(): InputLog['basis'] {
    return this.#session.replay?.basis ?? basisOf(this.#session, this.#terminal.interactive ? 'at-once' : 'when-listening', this.#words);
  }

  /** Ends the session with the guest exactly where it is. */
  #stop(end: SessionEnd): void {
    this.#guest?.hold();
    this.#finish(end);
  }

  #notePrompt(): void {
    if (!this.#prompted) this.#phases.end('to the prompt', this.#moment());
    this.#prompted = true;
  }

  #moment(): BootMoment {
    const machine = this.#guest?.machine;
    return { atMs: performance.now(), instructions: machine?.retired ?? 0, nanos: machine?.clock.now() ?? 0 };
  }

  #startRecords(guest: Guest<MachineVcpu>): void {
    const { record, replay } = this.#session;
    if (record !== undefined) this.#recorder = new InputRecorder(record, this.#basis());
    const end = replay?.end;
    if (end === undefined || end === null) return;
    guest.machine.clock.timer(() => this.#stop({ code: EXIT_FINE, text: 'the record ends here' })).arm(end.nanos);
  }

  #openTerminal(guest: Guest<MachineVcpu>): void {
    const terminal = this.#terminal;
    const keys = new EscapeKeys({ type: (bytes) => guest.type(bytes), command: (command) => this.#obey(command, guest) });
    const reads = terminal.interactive || (wantsInput(this.#session) && (this.#session.clock === 'host' || this.#session.record !== undefined));
    const onInput = (bytes: Uint8Array): void => {
      if (terminal.interactive) keys.feed(bytes);
      else guest.type(bytes);
      if (guest.untaken > MOST_UNTAKEN) void terminal.holdInput(guest.taken());
    };
    terminal.open(reads ? onInput : null, () => this.#finish({ code: EXIT_BROKEN, text: null }));
  }

  /** Machine time stands still while the reader of the output is behind. */
  #waitForReader(): void {
    const release = (this.#release ??= this.#guest?.hold() ?? null);
    if (release === null) return;
    void this.#terminal.drained().then(() => {
      this.#release = null;
      release();
    });
  }

  async #openControl(guest: Guest<MachineVcpu>): Promise<() => Promise<void>> {
    const { name, origin, instance = null, seed = 0, plugIns = null, record, replay } = this.#session;
    if (name === undefined) return () => Promise.resolve();
    const refusal = record === undefined && replay === undefined ? null : 'this run is written down, and what comes and goes would not be';
    this.#hotPlug = origin === undefined ? null : new MachineHotPlug({ guest, origin, seed, disks: (this.#session.disks ?? []).map(({ disk }) => disk).filter((disk) => disk instanceof LiveDisk), plugIns, refusal });
    const control = new MachineControl({ guest, instance, quit: () => this.#finish({ code: EXIT_FINE, text: null }), hotPlug: this.#hotPlug });
    return openControl(name, (request) => control.handle(request));
  }

  #listen(guest: Guest<MachineVcpu>): () => void {
    return listenToSignals({
      pressPowerButton: () => {
        if (this.#session.replay !== undefined) return false;
        this.#terminal.tell('vm: SIGTERM presses the power button; a second one ends the machine at once');
        guest.pressPowerButton();
        return true;
      },
      end: (signal, number) => this.#finish({ code: EXIT_SIGNAL + number, text: `ended by ${signal}` }),
    });
  }

  #obey(command: EscapeCommand, guest: Guest<MachineVcpu>): void {
    switch (command) {
      case 'quit': return this.#finish({ code: EXIT_FINE, text: null });
      case 'help': return this.#terminal.tell(ESCAPE_HELP.join('\n'));
      case 'statistics': return this.#terminal.tell(formatStatistics(this.#statistics(guest)));
      case 'power-button': return guest.pressPowerButton();
      case 'reset': return guest.pressResetButton();
      case 'window-size': return guest.type(sizeCommand(this.#terminal.output));
    }
  }

  #statistics(guest: Guest<MachineVcpu>): Statistics {
    const now = this.#moment();
    return collectStatistics(guest.machine, now.atMs - this.#poweredUpMs, this.#phases.list(now));
  }

  async #conclude(guest: Guest<MachineVcpu>, end: SessionEnd): Promise<number> {
    const { machine } = guest;
    guest.hold();
    await machine.pause();
    const failure: NodeJS.ErrnoException | null = await this.#terminal.flush();
    // A reader that has gone knows it; a disk that is full does not tell.
    if (failure !== null && failure.code !== 'EPIPE') this.#terminal.tell(`vm: the output cannot be written: ${explainFileError(failure)}`);
    const code = failure !== null && end.code === EXIT_FINE ? EXIT_BROKEN : end.code;
    if (this.#session.exitOn !== undefined && end.code === EXIT_FINE && end.text === null) this.#phases.end('to the text of --exit-on', this.#moment());
    const [nanos, instructions] = [machine.clock.now(), machine.retired];
    this.#recorder?.end(nanos, instructions);
    if (end.text !== null) this.#terminal.tell(`vm: ${end.text}`);
    if (end.crash === true) this.#terminal.tell(describeCrash(machine, this.#session.symbols ?? null));
    if (this.#session.statistics !== undefined) {
      const statistics = this.#statistics(guest);
      this.#terminal.tell(this.#session.statistics === 'json' ? JSON.stringify(statistics) : formatStatistics(statistics));
    }
    if (this.#session.traceHot !== undefined) this.#terminal.tell(hotRegionsOf(machine, this.#session.traceHot, this.#session.symbols ?? null));
    const recorded = this.#session.replay?.end ?? null;
    if (recorded === null || recorded.instructions === instructions) return code;
    this.#terminal.tell(`vm: this was another run than the recorded one: it ended at instruction ${instructions}, the other at ${recorded.instructions}`);
    return EXIT_BROKEN;
  }
}

/** Types a script: each line when the prompt has come. The guest may end before its last line; then nobody reads the rest. */
async function typeScript(guest: Guest<MachineVcpu>, script: NonNullable<BootSession['script']>): Promise<void> {
  try {
    for (const line of script.lines) {
      await guest.waitFor(script.prompt);
      guest.type(`${line}\n`);
    }
  } catch {
    // the end of the guest is told by whoever waits for it
  }
}
