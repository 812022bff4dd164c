/** F16C: halves to singles and back (SDM vol. 1, section 14.4). */
import type { Emit, EmitterTable } from '../emitter.ts';
import { A, D, LOWER_RESULT, R, S, U, UPPER_OPERAND, X, Z } from '../locals.ts';
import * as simd from '../wasm/simd-opcode.ts';
import * as uop from '../uop.ts';
import { clearFlags, commit } from './float-operand.ts';
import { probeWritable, readHalves, readPacked, writeHalves } from './packed-operand.ts';

const fromHalves: Emit = (e) => {
  const { code } = e;
  e.requireSse();
  readPacked(e, 1);
  code.set(X);
  clearFlags(e);
  for (let element = 0; element < (e.wide ? 8 : 4); element++) {
    const z = e.wide && element < 4 ? LOWER_RESULT : Z;
    code.get(S).get(X).lane(simd.I16X8_EXTRACT_LANE_U, element).extendU().call(e.runtime.float.half.fromHalf).set(R);
    code.get(z).get(R).wrap().lane(simd.I32X4_REPLACE_LANE, element % 4).set(z);
  }
  commit(e);
  writeHalves(e);
};
const toHalves: Emit = (e) => {
  const { code } = e;
  const bytes = e.bytes(0);
  e.requireSse();
  if (e.isMemory(0)) {
    // Proved writable before an exception of the numbers can come.
    e.address(bytes, true);
    code.set(D);
    probeWritable(e, bytes);
  }
  readHalves(e, 1, X, UPPER_OPERAND);
  code.constV128([]).set(Z);
  clearFlags(e);
  for (let element = 0; element < (e.wide ? 8 : 4); element++) {
    code.get(S).get(element < 4 ? X : UPPER_OPERAND).lane(simd.I32X4_EXTRACT_LANE, element % 4).extendU();
    code.get(U).load8U32(uop.UOP_IMMEDIATE).call(e.runtime.float.half.toHalf).set(R);
    code.get(Z).get(R).wrap().lane(simd.I16X8_REPLACE_LANE, element).set(Z);
  }
  commit(e);
  if (!e.isMemory(0)) {
    e.writeVectorRegister(0, Z);
    return;
  }
  if (bytes === 8) {
    code.get(Z).lane(simd.I64X2_EXTRACT_LANE, 0).set(A).get(D);
    e.store(8, A);
  } else {
    code.get(D);
    e.storeVector(Z, false);
  }
};

export const F16C: EmitterTable = {
  vcvtph2ps: { emit: fromHalves, apart: true },
  vcvtps2ph: { emit: toHalves, apart: true },
};
