import { expect, it } from 'vitest';
import { askForGrant, parseGrant } from './capability-grant.ts';

it('asks for what was not given, in words, and takes no other answer than yes', async () => {
  const asked: string[] = [];
  const say = (answer: string) => (question: string): Promise<string> => (asked.push(question), Promise.resolve(answer));
  await askForGrant('example.x@1.0.0', ['pio', 'dma'], ['pio'], say('y'));
  expect(asked).toEqual(["example.x@1.0.0 wants to\n  dma: read and write all of the guest's memory\nMay it? [y/N] "]);
  for (const answer of ['', 'n', 'no', 'yess', 'q']) await expect(askForGrant('example.x@1.0.0', ['pio'], [], say(answer))).rejects.toThrow('example.x@1.0.0: not agreed to');
  for (const answer of ['Y', ' yes ', 'YES']) await askForGrant('example.x@1.0.0', ['pio'], [], say(answer));
});

it('asks nothing where everything was given, and says which option gives it where nobody can answer', async () => {
  await askForGrant('example.x@1.0.0', ['pio', 'dma'], ['all'], null);
  await askForGrant('example.x@1.0.0', [], [], null);
  await expect(askForGrant('example.x@1.0.0', ['pio', 'dma'], ['pio'], null)).rejects.toThrow('--grant dma does');
});

it('knows every capability, and no other', () => {
  expect(parseGrant('pio,mmio,lines,controller,msi,clock,dma,host')).toHaveLength(8);
  expect(parseGrant('all')).toEqual(['all']);
  for (const text of ['', 'network', 'pio;dma', ',']) expect(() => parseGrant(text)).toThrow(RangeError);
});
