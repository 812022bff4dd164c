import * as spec from './spec.ts';

/** The bytes of the time registers, in the format that `registerB` asks for, of a time in seconds since 1970. */
export function encodeTime(seconds: number, registerB: number, into: Uint8Array): void {
  const date = new Date(seconds * 1000);
  const year = date.getUTCFullYear();
  into[spec.SECONDS] = encode(date.getUTCSeconds(), registerB);
  into[spec.MINUTES] = encode(date.getUTCMinutes(), registerB);
  into[spec.HOURS] = encodeHours(date.getUTCHours(), registerB);
  into[spec.WEEKDAY] = encode(date.getUTCDay() + 1, registerB);
  into[spec.DAY] = encode(date.getUTCDate(), registerB);
  into[spec.MONTH] = encode(date.getUTCMonth() + 1, registerB);
  into[spec.YEAR] = encode(year % 100, registerB);
  into[spec.CENTURY] = encode(Math.floor(year / 100), registerB);
}

/** Seconds since 1970 of what the time registers hold; values out of range carry over. */
export function decodeTime(from: Uint8Array, registerB: number): number {
  const year = decode(from[spec.CENTURY]!, registerB) * 100 + decode(from[spec.YEAR]!, registerB);
  const month = decode(from[spec.MONTH]!, registerB) - 1;
  const ms = Date.UTC(year, month, decode(from[spec.DAY]!, registerB), decodeHours(from[spec.HOURS]!, registerB),
    decode(from[spec.MINUTES]!, registerB), decode(from[spec.SECONDS]!, registerB));
  return Math.floor(ms / 1000);
}

/** The first second after `after` that the alarm registers match, Infinity if they match none. */
export function nextAlarm(after: number, from: Uint8Array, registerB: number): number {
  const second = alarmValue(from[spec.SECONDS_ALARM]!, (value) => decode(value, registerB));
  const minute = alarmValue(from[spec.MINUTES_ALARM]!, (value) => decode(value, registerB));
  const hour = alarmValue(from[spec.HOURS_ALARM]!, (value) => decodeHours(value, registerB));
  let time = after + 1;
  // Whole hours, then minutes, then seconds that do not match are skipped: at most 24 + 60 + 60 steps, twice around.
  for (let step = 0; step < 300; step++) {
    if (hour >= 0 && Math.floor(time / 3600) % 24 !== hour) time = (Math.floor(time / 3600) + 1) * 3600;
    else if (minute >= 0 && Math.floor(time / 60) % 60 !== minute) time = (Math.floor(time / 60) + 1) * 60;
    else if (second >= 0 && time % 60 !== second) time++;
    else return time;
  }
  return Infinity;
}

function alarmValue(byte: number, decodeByte: (byte: number) => number): number {
  return byte >= spec.ALARM_ANY ? -1 : decodeByte(byte);
}

function encode(value: number, registerB: number): number {
  return (registerB & spec.B_BINARY) !== 0 ? value : Math.floor(value / 10) * 16 + (value % 10);
}

function decode(byte: number, registerB: number): number {
  return (registerB & spec.B_BINARY) !== 0 ? byte : (byte >>> 4) * 10 + (byte & 0xf);
}

function encodeHours(hours: number, registerB: number): number {
  if ((registerB & spec.B_24_HOURS) !== 0) return encode(hours, registerB);
  return encode(hours % 12 === 0 ? 12 : hours % 12, registerB) | (hours >= 12 ? 0x80 : 0);
}

function decodeHours(byte: number, registerB: number): number {
  if ((registerB & spec.B_24_HOURS) !== 0) return decode(byte, registerB);
  return (decode(byte & 0x7f, registerB) % 12) + (byte >= 0x80 ? 12 : 0);
}
