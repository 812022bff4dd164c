export { piixIde, type PiixIdeConfig } from './piix-ide.ts';
