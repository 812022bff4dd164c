import { itBootsTheSame } from './kernel-in-each-mode.ts';

// translator.long.test.ts has every kernel in every mode.
itBootsTheSame('linux-image-cloud-amd64', ['off', 'on']);
