export { hintBranches } from './node/branch-hints.ts';
