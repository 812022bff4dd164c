export { rtcMc146818, type RtcMc146818Config } from './rtc-mc146818.ts';
