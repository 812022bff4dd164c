/** The thread of one processor: goes into KVM_RUN when it is told to, and gives back what came of it. All else is done by the machine's thread. */
import { workerData } from 'node:worker_threads';
import { KICK_SIGNAL } from './kick.ts';
import { CALLS } from './kvm-number-table.ts';
import { libc } from './libc.ts';
import { END, GUEST, MACHINE, OWNER, RESULT, type ThreadData, THREAD, waitWhile, WANTED } from './thread-words.ts';

const EINTR = -4;

function serve({ fd, words, bell, spins, looks }: ThreadData): void {
  const c = libc();
  const ring = (): void => {
    Atomics.add(bell, 0, 1);
    Atomics.notify(bell, 0);
  };
  c.blockSignal(KICK_SIGNAL);
  Atomics.store(words, THREAD, c.threadId());
  ring();
  for (;;) {
    while (Atomics.load(words, OWNER) === MACHINE) waitWhile(words, OWNER, MACHINE, spins, Infinity);
    if (Atomics.load(words, OWNER) === END) return;
    let result: number;
    // But for a look, the timer's signal only gives Node.js a chance to end this thread.
    do {
      result = c.ioctl(fd, CALLS.KVM_RUN, 0);
      if (result === EINTR) while (c.takeSignal(KICK_SIGNAL));
    } while (result === EINTR && !looks && Atomics.load(words, WANTED) === 0);
    words[RESULT] = result;
    if (Atomics.compareExchange(words, OWNER, GUEST, MACHINE) === END) return;
    ring();
  }
}

serve(workerData as ThreadData);
