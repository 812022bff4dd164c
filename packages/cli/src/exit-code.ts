/** What the process says at its end. */
export const EXIT_FINE = 0; // the guest turned itself off, or what was waited for came
export const EXIT_BROKEN = 1; // the machine itself failed
export const EXIT_USAGE = 2; // what was asked for cannot be done: an option, a file, a kernel, a download
export const EXIT_CRASH = 3; // the guest crashed: triple fault or panic
export const EXIT_TIMEOUT = 124; // as timeout(1)
export const EXIT_SIGNAL = 128; // plus the number of the signal, as shells do
