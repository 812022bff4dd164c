/** Mathematical constants as 128-bit significands, cut off: value = significand * 2^(exponent - 127). */
export interface WideConstant { readonly exponent: number; readonly significand: bigint }

const wide = (exponent: number, significand: bigint): WideConstant => ({ exponent, significand });

export const LN_2: WideConstant = wide(-1, 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6afn);
export const TWO_BY_LN_2: WideConstant = wide(1, 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e88n);
export const PI: WideConstant = wide(1, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1n);
export const HALF_PI: WideConstant = wide(0, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1n);
export const QUARTER_PI: WideConstant = wide(-1, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1n);
export const THREE_QUARTERS_PI: WideConstant = wide(1, 0x96cb_e3f9_990e_91a7_9394_c9e8_a0a5_159cn);
/** The arc tangents of 1/8 to 8/8. */
export const ARC_TANGENTS: readonly WideConstant[] = [
  wide(-4, 0xfead_d4d5_617b_6e32_c897_989f_3e88_8ef7n),
  wide(-3, 0xfadb_afc9_6406_eb15_6dc7_9ef5_f7a2_17e5n),
  wide(-2, 0xb7b0_ca0f_26f7_8473_8aa3_2122_dcfe_4483n),
  wide(-2, 0xed63_382b_0dda_7b45_6fe4_45ec_bc3a_8d03n),
  wide(-1, 0x8f00_5d5e_f7f5_9f9b_5c83_5e16_65c4_3747n),
  wide(-1, 0xa4bc_7d19_34f7_0924_19a8_7f2a_457d_ac9en),
  wide(-1, 0xb805_3e2b_c231_9e73_cb2d_a552_10a4_443dn),
  wide(-1, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1n),
];
/** Half of pi with 66 bits, which the processor divides by (SDM vol. 1, section 8.3.8): value = this * 2^-65. */
export const REDUCTION_MODULUS: bigint = 0x3_243f_6a88_85a3_08d3n;
/** The square root of 2 as a significand of 64 bits. */
export const SQUARE_ROOT_OF_2: bigint = 0xb504_f333_f9de_6484n;
