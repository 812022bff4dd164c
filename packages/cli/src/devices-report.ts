import { describeValues, type DevicePlugin, type RangeDescription, type ResourceNumber } from '@vm/core/directory';

/** A line for each plug-in. */
export function formatPlugins(plugins: readonly DevicePlugin[]): string {
  if (plugins.length === 0) return 'no plug-ins';
  const names = plugins.map(({ description: { id, version } }) => `${id} ${version}`);
  const width = Math.max(...names.map((name) => name.length)) + 2;
  return plugins.map(({ description }, i) => `${names[i]!.padEnd(width)}${description.text}`).join('\n');
}

/** Everything that a plug-in says of itself. */
export function formatDescription({ folder, digest, description }: DevicePlugin): string {
  const { id, version, text, abi, state, oldestState = state, needs, hotPluggable = false, properties = {}, resources = {}, coalescable = [] } = description;
  const range = ({ name, base, bytes }: RangeDescription): string => `${name} at ${formatNumber(base)}, ${formatNumber(bytes)} bytes`;
  const taken = [
    ...(resources.ports ?? []).map((one) => `ports ${range(one)}`),
    ...(resources.memory ?? []).map((one) => `memory ${range(one)}`),
    ...(resources.lines ?? []).map(({ pin, shared = false }) => `pin ${formatNumber(pin)}${shared ? ', shared' : ''}`),
    ...coalescable.map(({ range: name, offset, bytes }) => `writes to ${name}+${offset}, ${bytes} bytes, may be handed over late`),
  ];
  const chosen = Object.entries(properties).flatMap(([name, property]) => [
    `  ${name}: ${describeValues(property)}${property.default === undefined ? ', to be chosen' : `; default ${String(property.default)}`}`,
    `      ${property.text}`,
  ]);
  return [
    `${id} ${version}: ${text}`,
    `folder: ${folder}`,
    `digest: ${digest}`,
    `ABI ${abi}; ${state === 0 ? 'no state' : `state ${state}, loads from ${oldestState} on`}; ${hotPluggable ? 'can come and go while the machine runs' : 'stays while the machine runs'}`,
    `needs: ${needs.join(', ') || 'nothing'}`,
    ...(chosen.length === 0 ? ['properties: none'] : ['properties:', ...chosen]),
    ...(taken.length === 0 ? ['takes: nothing'] : ['takes:', ...taken.map((line) => `  ${line}`)]),
  ].join('\n');
}

function formatNumber(number: ResourceNumber): string {
  return typeof number === 'number' ? `0x${number.toString(16)}` : `property ${number.property}`;
}
