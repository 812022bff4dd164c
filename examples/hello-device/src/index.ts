export { helloDevice, type HelloConfig } from './hello-device.ts';
