import { formatByteSize } from './byte-size.ts';

interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** How far a copy is, how fast it goes and how long it will take; shown on terminals only. */
export interface ByteProgress {
  update(done: number, total: number): void;
  done(): void;
}

const INTERVAL_MS = 200;
const SETTLED_MS = 1000; // before, the rate says nothing about the rest

export function createByteProgress(stream: ProgressStream, what: string, now: () => number = () => performance.now()): ByteProgress {
  const begin = now();
  let shown = -Infinity;
  const overwrite = (text: string): void => void stream.write(`\r\x1b[K${text.slice(0, (stream.columns ?? 80) - 1)}`);
  return {
    update(done, total) {
      const time = now();
      if (stream.isTTY !== true || time - shown < INTERVAL_MS) return;
      shown = time;
      overwrite(formatProgress(what, done, total, time - begin));
    },
    done() {
      if (shown > -Infinity) overwrite('');
    },
  };
}

/** `copying  34 %  120.0 MiB/s  0:42 left` */
export function formatProgress(what: string, done: number, total: number, elapsedMs: number): string {
  const percent = `${what}  ${total === 0 ? 100 : Math.floor((done / total) * 100)} %`;
  if (elapsedMs < SETTLED_MS || done === 0) return percent;
  const perSecond = (done * 1000) / elapsedMs;
  const left = Math.ceil((total - done) / perSecond);
  const hours = Math.floor(left / 3600);
  const clock = `${hours > 0 ? `${hours}:${String(Math.floor(left / 60) % 60).padStart(2, '0')}` : Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`;
  return `${percent}  ${formatByteSize(perSecond)}/s  ${clock} left`;
}
