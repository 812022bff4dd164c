import type { Capability } from '../abi.ts';

/** What a device plug-in says of itself in its device.json. The schema beside this file has the rules. */
export interface DeviceDescription {
  readonly abi: number;
  readonly id: string;
  readonly version: string;
  readonly text: string;
  readonly entry: string; // path in the folder, with slashes
  readonly export: string;
  readonly state: number;
  readonly oldestState?: number;
  readonly needs: readonly Capability[];
  readonly hotPluggable?: boolean;
  readonly properties?: Readonly<Record<string, PropertyDescription>>;
  readonly resources?: ResourceDescription;
  readonly coalescable?: readonly { readonly range: string; readonly offset: number; readonly bytes: number }[];
  readonly files: Readonly<Record<string, string>>; // digests by path
}
export type PropertyValue = boolean | number | string;
export interface PropertyDescription {
  readonly type: 'integer' | 'boolean' | 'text' | 'choice' | 'block'; // block: a disk of the host, by whose name in the machine the device asks for it
  readonly text: string;
  readonly default?: PropertyValue; // absent: it must be chosen
  readonly min?: number; // of an integer
  readonly max?: number;
  readonly step?: number;
  readonly maxLength?: number; // of a text
  readonly values?: readonly string[]; // of a choice
}
/** A number, or the name of the property that has it. */
export type ResourceNumber = number | { readonly property: string };
export interface RangeDescription {
  readonly name: string;
  readonly base: ResourceNumber;
  readonly bytes: ResourceNumber;
}
export interface ResourceDescription {
  readonly ports?: readonly RangeDescription[];
  readonly memory?: readonly RangeDescription[];
  readonly lines?: readonly { readonly pin: ResourceNumber; readonly shared?: boolean }[];
}
/** What is wrong with a description: where, which rule, and in words. */
export interface DescriptionProblem {
  readonly file: string;
  readonly path: string; // JSON pointer; empty: the file as a whole
  readonly rule: string;
  readonly text: string;
}
