export { type IsolatedModule, isolatedDevice, type IsolationOptions } from './isolated/isolated-device.ts';
