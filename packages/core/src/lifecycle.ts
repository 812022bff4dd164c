import type { Capability, Device, DeviceContext, DeviceManifest, HostPart, LogLevel, Nanos, Phase, Plain } from './abi.ts';
import { checkHooks, checkSpec, type DeviceSpec } from './device-spec.ts';
import { VmError } from './errors.ts';
import { inTime } from './hook-time.ts';
import type { HostPort } from './host-port.ts';
import { checkTransition } from './phase.ts';

interface Member {
  readonly name: string;
  readonly manifest: DeviceManifest;
  readonly device: Device;
  readonly abort: AbortController;
}
type Step = 'powerUp' | 'load' | 'start' | 'stop' | 'save' | 'powerDown' | 'tearDown';

/** What one device saved. */
export interface DeviceState {
  readonly name: string;
  readonly id: string;
  readonly version: number; // 0: it saves nothing
  readonly state: Plain;
}

export interface LifecycleServices {
  readonly host: HostPort;
  readonly offered: ReadonlySet<string>;
  parts(): readonly HostPart[]; // host sides: started before all devices, stopped after them
  context(spec: DeviceSpec, signal: AbortSignal): DeviceContext<Capability>;
  release(name: string): void;
  /** A device is cut off. */
  fail(name: string, where: string, error: unknown): void;
  log(device: string, level: LogLevel, text: string): void;
  readonly trace?: LifecycleTrace;
}
/** Hears of every hook that a device has finished and how long it took, and with no device of every phase that the machine enters. */
export type LifecycleTrace = (step: string, device: string | null, nanos: Nanos) => void;

/** Moves all devices together: none enters a phase before every one has left the phase before. */
export class Lifecycle {
  #phase: Phase = 'off';
  #started = false;
  readonly #members: Member[] = [];
  readonly #services: LifecycleServices;

  constructor(services: LifecycleServices) {
    this.#services = services;
  }

  get phase(): Phase {
    return this.#phase;
  }

  get started(): boolean {
    return this.#started;
  }

  has(name: string): boolean {
    return this.#members.some((member) => member.name === name);
  }

  async create(specs: readonly DeviceSpec[]): Promise<void> {
    this.#enter('initializing');
    for (const spec of specs) {
      try {
        this.#check(spec);
        const member = this.#make(spec);
        this.#members.push(member);
        checkHooks(spec, member.device);
      } catch (error) {
        await this.#fail('create', [inDevice(spec.name, 'create', error)], () => this.tearDown());
      }
    }
  }

  /**
   * `prepare` runs when all devices are up and none has started: firmware and kernels are loaded here, or what else was saved than
   * the devices, whose `states` have been checked against the composition and come before it.
   */
  async powerUp(why: 'cold' | 'reset' | 'restore', prepare: () => void | Promise<void>, states: readonly DeviceState[] = []): Promise<void> {
    this.#enter('powering-up');
    const up: Member[] = [];
    for (const member of this.#members) {
      const errors = await this.#step('powerUp', [member], () => member.device.powerUp?.(why));
      if (errors.length > 0) await this.#fail('powerUp', errors, () => this.#down(up));
      up.push(member);
    }
    if (why === 'restore') this.#enter('loading');
    for (const { name, version, state } of states.filter((one) => one.version > 0)) {
      const members = this.#members.filter((member) => member.name === name);
      const errors = await this.#step('load', members, (member) => member.device.load?.(state, version));
      if (errors.length > 0) await this.#fail('load', errors, () => this.#down(up));
    }
    try {
      await prepare();
    } catch (error) {
      await this.#fail('load', [error], () => this.#down(up));
    }
    this.#enter('running');
  }

  /** Leaves nothing started when it throws. */
  async start(): Promise<void> {
    for (const part of this.#services.parts()) part.start?.();
    const begun: Member[] = [];
    this.#started = true;
    for (const member of this.#members) {
      begun.push(member);
      const errors = await this.#step('start', [member], () => member.device.start?.());
      if (errors.length > 0) await this.#fail('start', errors, () => this.stop(begun));
    }
  }

  async stop(members: readonly Member[] = this.#members): Promise<void> {
    if (!this.#started) return;
    this.#started = false;
    const errors: unknown[] = await this.#step('stop', members.toReversed(), (member) => member.device.stop?.());
    for (const part of this.#services.parts()) await attempt(errors, () => part.stop?.());
    raise('stop', errors);
  }

  /**
   * The way of one device while all others stay where they are: made, up and, if they are, started, with its host parts. Nothing of it
   * is left when it throws.
   */
  async add(spec: DeviceSpec, parts: readonly HostPart[]): Promise<void> {
    this.#check(spec);
    if (spec.manifest.needs.includes('controller')) throw new VmError('E_FIXED', `${spec.name}: an interrupt controller is there from the beginning or not at all`, { device: spec.name });
    const reached: Step[] = [];
    let member: Member | null = null;
    try {
      const made = (member = this.#make(spec));
      checkHooks(spec, made.device);
      raise('powerUp', await this.#step('powerUp', [made], () => made.device.powerUp?.('cold')));
      reached.push('powerUp');
      if (this.#started) {
        reached.push('start');
        for (const part of parts) part.start?.();
        raise('start', await this.#step('start', [made], () => made.device.start?.()));
      }
      this.#members.push(made);
    } catch (error) {
      const cause = error instanceof AggregateError ? error : inDevice(spec.name, 'create', error);
      if (member === null) this.#services.release(spec.name);
      throw aggregate('add', [cause, ...(member === null ? [] : await this.#takeAway(member, reached, parts))]);
    }
  }

  /** The same way back; it is gone whatever its hooks throw. */
  async remove(name: string, parts: readonly HostPart[]): Promise<void> {
    const member = this.#members.find((one) => one.name === name);
    if (member === undefined) throw new VmError('E_NAME', `there is no device named ${name}`, { device: name });
    if (member.manifest.wants?.includes('hot-remove') !== true) throw new VmError('E_FIXED', `${name}: ${member.manifest.id} stays while the machine runs`, { device: name });
    this.#members.splice(this.#members.indexOf(member), 1);
    raise('remove', await this.#takeAway(member, this.#started ? ['powerUp', 'start'] : ['powerUp'], parts));
  }

  async #takeAway(member: Member, reached: readonly Step[], parts: readonly HostPart[]): Promise<unknown[]> {
    const errors: unknown[] = [];
    if (reached.includes('start')) {
      errors.push(...(await this.#step('stop', [member], () => member.device.stop?.())));
      for (const part of parts) await attempt(errors, () => part.stop?.());
    }
    if (reached.includes('powerUp')) errors.push(...(await this.#step('powerDown', [member], () => member.device.powerDown?.())));
    errors.push(...(await this.#tearDown([member])));
    return errors;
  }

  /** The states of all devices, in their order; `write` keeps them. Only while stopped; the machine runs on whatever happens. */
  async save(write: (states: readonly DeviceState[]) => Promise<void>): Promise<void> {
    this.#enter('saving');
    try {
      const states: DeviceState[] = [];
      const errors = await this.#step('save', this.#members, ({ name, manifest: { id, state: version }, device }) => {
        states.push({ name, id, version, state: version > 0 ? device.save!() : null });
      });
      raise('save', errors);
      await write(states);
    } finally {
      this.#enter('running');
    }
  }

  powerDown(): Promise<void> {
    return this.#down(this.#members);
  }

  async tearDown(): Promise<void> {
    this.#enter('tearing-down');
    const errors = await this.#tearDown(this.#members.toReversed());
    this.#members.length = 0;
    this.#enter('off');
    raise('tearDown', errors);
  }

  #check(spec: DeviceSpec): void {
    checkSpec(spec, new Set(this.#members.map((member) => member.name)), this.#services.offered);
  }

  #make(spec: DeviceSpec): Member {
    const { host, trace } = this.#services;
    const abort = new AbortController();
    const begin = host.now();
    const made = spec.create(this.#services.context(spec, abort.signal), (where, error) => this.#services.fail(spec.name, where, error));
    trace?.('create', spec.name, host.now() - begin);
    return { name: spec.name, manifest: spec.manifest, device: made, abort };
  }

  async #tearDown(members: readonly Member[]): Promise<unknown[]> {
    const errors = await this.#step('tearDown', members, (member) => {
      member.abort.abort();
      return member.device.tearDown?.();
    });
    for (const member of members.toReversed()) this.#services.release(member.name);
    return errors;
  }

  #enter(phase: Phase): void {
    this.#phase = checkTransition(this.#phase, phase);
    this.#services.trace?.(phase, null, 0);
  }

  async #down(members: readonly Member[]): Promise<void> {
    this.#enter('powering-down');
    raise('powerDown', await this.#step('powerDown', members.toReversed(), (member) => member.device.powerDown?.()));
  }

  /** Runs one hook of each member to its end, also when others failed. */
  async #step(step: Step, members: readonly Member[], hook: (member: Member) => void | Promise<void>): Promise<unknown[]> {
    const errors: unknown[] = [];
    for (const member of members) {
      const { host, trace } = this.#services;
      const begin = host.now();
      await attempt(errors, () => inTime(this.#services, member.name, step, () => hook(member)), (error) => inDevice(member.name, step, error));
      trace?.(step, member.name, host.now() - begin);
    }
    return errors;
  }

  /** Rolls back, then throws what went wrong on the way up and on the way back. */
  async #fail(step: string, errors: readonly unknown[], rollBack: () => Promise<void>): Promise<never> {
    const all = [...errors];
    await attempt(all, rollBack);
    throw aggregate(step, all);
  }
}

async function attempt(errors: unknown[], work: () => void | Promise<void>, name = (error: unknown): unknown => error): Promise<void> {
  try {
    await work();
  } catch (error) {
    errors.push(name(error));
  }
}

function inDevice(name: string, step: string, cause: unknown): VmError {
  if (VmError.is(cause) && cause.device === name) return cause;
  return new VmError('E_DEVICE', `${name}: ${step} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause, device: name });
}

function raise(step: string, errors: readonly unknown[]): void {
  if (errors.length > 0) throw aggregate(step, errors);
}

function aggregate(step: string, errors: readonly unknown[]): AggregateError {
  const flat = errors.flatMap((error) => (error instanceof AggregateError ? (error.errors as unknown[]) : [error]));
  return new AggregateError(flat, `${step}: ${flat.map((error) => (error instanceof Error ? error.message : String(error))).join('; ')}`);
}
