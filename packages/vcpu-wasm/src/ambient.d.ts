/** The little of WebAssembly's JavaScript interface that the engine uses; neither the DOM library nor Node's types are needed for it. */
declare namespace WebAssembly {
  class Memory {
    constructor(limits: { readonly initial: number; readonly maximum: number });
    readonly buffer: ArrayBufferLike;
  }
  class Module { constructor(bytes: ArrayBufferView) }
  function validate(bytes: ArrayBufferView): boolean;
  class Table {
    grow(by: number): number;
    set(index: number, value: unknown): void;
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
}

declare const performance: { now(): number };
