export { type DebianGuest, fetchDebian, hasDebian } from './debian-guest.ts';
