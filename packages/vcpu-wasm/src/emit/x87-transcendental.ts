/** x87 transcendental instructions (SDM vol. 1, sections 8.3.7 and 8.3.9). */
import type { Emit, EmitterTable } from '../emitter.ts';
import { S } from '../locals.ts';
import type { TranscendentalFunctions } from '../float80/transcendental-functions.ts';
import { apart, beginWaiting, callX87, notePlace } from './x87-instruction.ts';

const onTop = (name: keyof TranscendentalFunctions): Emit => (e) => {
  beginWaiting(e);
  notePlace(e);
  e.code.get(S);
  callX87(e, e.runtime.x87.transcendental[name]);
  e.code.drop();
};

export const X87_TRANSCENDENTAL: EmitterTable = {
  f2xm1: apart(onTop('exponential')),
  fyl2x: apart(onTop('logarithm')),
  fyl2xp1: apart(onTop('logarithmOfSuccessor')),
  fpatan: apart(onTop('arcTangent')),
  fsin: apart(onTop('sine')),
  fcos: apart(onTop('cosine')),
  fsincos: apart(onTop('sineAndCosine')),
  fptan: apart(onTop('tangent')),
};
