/** Tells a person how far something is. */
export interface Progress {
  /** Something new begins. */
  step(text: string): void;
  percent(percent: number): void;
  done(): void;
}

interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** On a terminal one line that is written over; elsewhere a line a step. */
export function createProgress(stream: ProgressStream): Progress {
  let line = '';
  let shown = -1;
  const overwrite = (text: string): void => {
    // Cut to the width: a line that wraps cannot be written over.
    if (stream.isTTY === true) stream.write(`\r\x1b[K${text.slice(0, (stream.columns ?? 80) - 1)}`);
  };
  return {
    step: (text) => {
      line = text;
      shown = -1;
      if (stream.isTTY === true) overwrite(text);
      else stream.write(`${text}\n`);
    },
    percent: (percent) => {
      const whole = Math.floor(percent);
      if (whole === shown) return;
      shown = whole;
      overwrite(`${line}  ${whole} %`);
    },
    done: () => overwrite(''),
  };
}
