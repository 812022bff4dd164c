export { helloGuest } from './hello-guest.ts';
export { runMonitor } from './run-monitor.ts';
