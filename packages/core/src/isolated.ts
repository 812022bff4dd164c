export { type IsolatedModule, isolatedDevice, type IsolationOptions } from './isolated/isolated-device.ts';
export { isolatedPlugin } from './isolated/isolated-plugin.ts';
