export { helloGuest } from './hello-guest.ts';
export { runImage, runMonitor } from './run-monitor.ts';
