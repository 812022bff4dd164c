import type { Owner, World } from './processor-model.ts';

/** What a step does, as data: the processor model executes it, and the emitter writes the instructions for it. */
export type Operation =
  | { readonly kind: 'interrupts-off' }
  | { readonly kind: 'map-page'; readonly world: World }
  | { readonly kind: 'copy-code' }
  | { readonly kind: 'save'; readonly world: World }
  | { readonly kind: 'restore'; readonly world: World }
  | { readonly kind: 'stack'; readonly owner: Owner }
  | { readonly kind: 'gdt'; readonly owner: Owner }
  | { readonly kind: 'idt'; readonly owner: Owner }
  | { readonly kind: 'data-segments'; readonly owner: Owner }
  /** To the page, or from it back to the host's own addresses. */
  | { readonly kind: 'jump'; readonly to: 'host' | 'page' }
  /** To the next instruction, which a change of paging has to be followed by on some processors. */
  | { readonly kind: 'next' }
  | { readonly kind: 'code-segment'; readonly bits: 64 | 32 }
  | { readonly kind: 'cr0'; readonly value: number }
  | { readonly kind: 'cr4'; readonly value: number }
  | { readonly kind: 'cr3'; readonly world: World; readonly low: number }
  | { readonly kind: 'efer'; readonly value: number }
  /** Clears the busy bit of the descriptor. */
  | { readonly kind: 'free-task'; readonly world: World }
  | { readonly kind: 'load-task'; readonly world: World };
