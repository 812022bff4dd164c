export { testdev, type TestdevConfig } from './testdev.ts';
export { postPort, type PostPortConfig } from './post-port.ts';
export { type SyntheticLoop, syntheticTest, type SyntheticTestConfig } from './synthetic-test.ts';
