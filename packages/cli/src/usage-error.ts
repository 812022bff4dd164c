/** What the user asked for cannot be done. The message is one line for them. */
export class UsageError extends Error {
  constructor(text: string, options?: { readonly cause?: unknown }) {
    super(text, options);
    this.name = 'UsageError';
  }
}
