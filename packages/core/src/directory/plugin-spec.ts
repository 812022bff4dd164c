import type { Capability, DeviceContext, Host, IoRegion, IoSpace, Lines } from '../abi.ts';
import type { DeviceSpec } from '../device-spec.ts';
import { VmError } from '../errors.ts';
import type { PropertyValue } from './description.ts';
import type { PluginModule } from './load-plugin.ts';
import { formatClaim, type ResourceClaim } from './resources.ts';

/**
 * A plug-in as a device of a machine, which gets of ports, memory and pins what `claims` lists and nothing else, and of back ends those
 * whose names are `blockName`s of it.
 */
export function pluginSpec(name: string, module: PluginModule, values: Readonly<Record<string, PropertyValue>>, claims: readonly ResourceClaim[], hotPluggable: boolean = false): DeviceSpec {
  return { name, manifest: hotPluggable ? { ...module.manifest, wants: [...(module.manifest.wants ?? []), 'hot-remove'] } : module.manifest, create: (ctx) => module.create(restrict(ctx, claims), values) };
}

/** The context with what is listed and nothing else. */
export function restrict(ctx: DeviceContext<Capability>, claims: readonly ResourceClaim[]): DeviceContext<Capability> {
  const { pio, mmio, lines, host } = ctx as Partial<DeviceContext<Capability>>;
  const check = (kind: ResourceClaim['kind'], base: number, bytes: number): void => {
    if (claims.some((claim) => claim.kind === kind && base >= claim.base && base + bytes <= claim.base + claim.bytes)) return;
    const wanted = formatClaim({ device: ctx.name, kind, name: '', base, bytes });
    throw new VmError('E_CAPABILITY', `${ctx.name}: ${wanted} is not among the resources of its description`, { device: ctx.name });
  };
  return Object.freeze({
    ...ctx,
    ...(pio === undefined ? {} : { pio: restrictSpace(pio, (base, bytes) => check('ports', base, bytes)) }),
    ...(mmio === undefined ? {} : { mmio: restrictSpace(mmio, (base, bytes) => check('memory', base, bytes)) }),
    ...(lines === undefined ? {} : { lines: { connect: (pin) => (check('line', pin, 1), lines.connect(pin)) } satisfies Lines }),
    ...(host === undefined ? {} : { host: { block: (name) => (name.startsWith(blockName(ctx.name, '')) ? host.block(name) : refuseBlock(ctx.name, name)) } satisfies Host }),
  });
}

/** What the back end of a device's property is called among those of a machine; no name of a device has a dot. */
export function blockName(device: string, property: string): string {
  return `${device}.${property}`;
}

function refuseBlock(device: string, block: string): never {
  throw new VmError('E_CAPABILITY', `${device}: the back end ${block} is not among its properties`, { device });
}

function restrictSpace(space: IoSpace, check: (base: number, bytes: number) => void): IoSpace {
  return {
    claim: (name, bytes, handler, sizes) => {
      const region = space.claim(name, bytes, handler, sizes);
      const map = (base: number): void => {
        check(base, bytes);
        region.map(base);
      };
      return { get base() { return region.base; }, bytes, map, unmap: () => region.unmap() } satisfies IoRegion;
    },
  };
}
