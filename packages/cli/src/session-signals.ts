const NUMBERS: Readonly<Partial<Record<NodeJS.Signals, number>>> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 };

export interface SignalActions {
  /** False: the guest cannot be asked. */
  pressPowerButton(): boolean;
  end(signal: NodeJS.Signals, number: number): void;
}

/** The first SIGTERM asks the guest to shut down; everything else ends the session. Returns what ends the listening. */
export function listenToSignals(actions: SignalActions): () => void {
  let pressed = false;
  const listen = (signal: NodeJS.Signals): void => {
    const first = signal === 'SIGTERM' && !pressed;
    pressed ||= first;
    if (!first || !actions.pressPowerButton()) actions.end(signal, NUMBERS[signal]!);
  };
  const names = Object.keys(NUMBERS) as NodeJS.Signals[];
  for (const name of names) process.on(name, listen);
  return () => names.forEach((name) => process.off(name, listen));
}
