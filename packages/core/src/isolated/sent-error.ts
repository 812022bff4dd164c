import { type ErrorCode, VmError } from '../errors.ts';

/** An error as it crosses threads: plain data. */
export interface SentError {
  readonly name: string;
  readonly message: string;
  readonly code: string | null; // of a VmError
}

const MOST_TEXT = 4096;

export function sendError(error: unknown): SentError {
  try {
    if (VmError.is(error)) return { name: 'VmError', message: String(error.message), code: String(error.code) };
    if (error instanceof Error) return { name: String(error.name), message: String(error.message), code: null };
    return { name: 'Error', message: String(error), code: null };
  } catch {
    return { name: 'Error', message: 'what was thrown cannot be told', code: null };
  }
}

/** The other side may have sent anything. */
export function receiveError(sent: unknown): Error {
  const { name, message, code } = (typeof sent === 'object' && sent !== null ? sent : {}) as Partial<Record<keyof SentError, unknown>>;
  const text = (typeof message === 'string' ? message : 'an error without words').slice(0, MOST_TEXT);
  if (name === 'TypeError') return new TypeError(text);
  if (name === 'RangeError') return new RangeError(text);
  return typeof code === 'string' && /^E_[A-Z]+$/.test(code) ? new VmError(code as ErrorCode, text) : new Error(text);
}
