export { fwCfg, type FwCfgConfig } from './fw-cfg.ts';
