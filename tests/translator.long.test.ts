import { itBootsTheSame } from './kernel-in-each-mode.ts';

for (const kernel of ['linux-image-cloud-amd64', 'linux-image-amd64', 'linux-image-686', 'linux-image-686-pae'] as const) itBootsTheSame(kernel);
