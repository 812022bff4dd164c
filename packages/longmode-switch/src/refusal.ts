/** Why a switch cannot be. It is said before anything runs. */
export type RefusalCode =
  | 'E_ADDRESS' // a table, a descriptor or the page of the transition is where 32-bit code cannot reach it
  | 'E_ALIGNMENT' // not at the beginning of a page
  | 'E_FEATURE' // bits of control registers that cannot be together
  | 'E_IDENTITY' // the page is not at its own physical address in one of the tables
  | 'E_ORDER' // a step comes before what it needs
  | 'E_OVERLAP' // two things in the same memory
  | 'E_IMAGE'; // a guest that is not one

/** Nothing has been changed yet. */
export class SwitchRefusal extends Error {
  readonly code: RefusalCode;

  constructor(code: RefusalCode, text: string) {
    super(text);
    this.name = 'SwitchRefusal';
    this.code = code;
  }
}
