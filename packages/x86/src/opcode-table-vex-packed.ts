/** AVX and AVX2: the packed-integer instructions of the two-byte opcode map with a VEX prefix (SDM vol. 2, appendix A.3, table A-3, the rows marked v). */
export const VEX_PACKED_ROWS = `
# moves
vex 66 0f 6e vmovd Vdq,Ey l0
vex 66 0f 7e vmovd Ey,Vdq l0
vex f3 0f 7e vmovq Vq,Wq l0
vex 66 0f d6 vmovq Wq,Vq l0
vex 66 0f 6f vmovdqa Vx,Wx
vex f3 0f 6f vmovdqu Vx,Wx
vex 66 0f 7f vmovdqa Wx,Vx
vex f3 0f 7f vmovdqu Wx,Vx
vex 66 0f e7 mem vmovntdq Mx,Vx
vex 66 0f f7 mod3 vmaskmovdqu Vdq,Udq l0
vex 66 0f d7 mod3 vpmovmskb Gd,Ux avx2
vex 66 0f c4 vpinsrw Vdq,Hdq,Rd/Mw,Ib l0
vex 66 0f c5 mod3 vpextrw Gd,Udq,Ib l0
vex 66 0f 70 vpshufd Vx,Wx,Ib avx2
vex f3 0f 70 vpshufhw Vx,Wx,Ib avx2
vex f2 0f 70 vpshuflw Vx,Wx,Ib avx2
# packed integers
vex 66 0f 60 vpunpcklbw Vx,Hx,Wx avx2
vex 66 0f 61 vpunpcklwd Vx,Hx,Wx avx2
vex 66 0f 62 vpunpckldq Vx,Hx,Wx avx2
vex 66 0f 63 vpacksswb Vx,Hx,Wx avx2
vex 66 0f 64 vpcmpgtb Vx,Hx,Wx avx2
vex 66 0f 65 vpcmpgtw Vx,Hx,Wx avx2
vex 66 0f 66 vpcmpgtd Vx,Hx,Wx avx2
vex 66 0f 67 vpackuswb Vx,Hx,Wx avx2
vex 66 0f 68 vpunpckhbw Vx,Hx,Wx avx2
vex 66 0f 69 vpunpckhwd Vx,Hx,Wx avx2
vex 66 0f 6a vpunpckhdq Vx,Hx,Wx avx2
vex 66 0f 6b vpackssdw Vx,Hx,Wx avx2
vex 66 0f 74 vpcmpeqb Vx,Hx,Wx avx2
vex 66 0f 75 vpcmpeqw Vx,Hx,Wx avx2
vex 66 0f 76 vpcmpeqd Vx,Hx,Wx avx2
vex 66 0f d1 vpsrlw Vx,Hx,Wdq avx2
vex 66 0f d2 vpsrld Vx,Hx,Wdq avx2
vex 66 0f d3 vpsrlq Vx,Hx,Wdq avx2
vex 66 0f d4 vpaddq Vx,Hx,Wx avx2
vex 66 0f d5 vpmullw Vx,Hx,Wx avx2
vex 66 0f d8 vpsubusb Vx,Hx,Wx avx2
vex 66 0f d9 vpsubusw Vx,Hx,Wx avx2
vex 66 0f da vpminub Vx,Hx,Wx avx2
vex 66 0f db vpand Vx,Hx,Wx avx2
vex 66 0f dc vpaddusb Vx,Hx,Wx avx2
vex 66 0f dd vpaddusw Vx,Hx,Wx avx2
vex 66 0f de vpmaxub Vx,Hx,Wx avx2
vex 66 0f df vpandn Vx,Hx,Wx avx2
vex 66 0f e0 vpavgb Vx,Hx,Wx avx2
vex 66 0f e1 vpsraw Vx,Hx,Wdq avx2
vex 66 0f e2 vpsrad Vx,Hx,Wdq avx2
vex 66 0f e3 vpavgw Vx,Hx,Wx avx2
vex 66 0f e4 vpmulhuw Vx,Hx,Wx avx2
vex 66 0f e5 vpmulhw Vx,Hx,Wx avx2
vex 66 0f e8 vpsubsb Vx,Hx,Wx avx2
vex 66 0f e9 vpsubsw Vx,Hx,Wx avx2
vex 66 0f ea vpminsw Vx,Hx,Wx avx2
vex 66 0f eb vpor Vx,Hx,Wx avx2
vex 66 0f ec vpaddsb Vx,Hx,Wx avx2
vex 66 0f ed vpaddsw Vx,Hx,Wx avx2
vex 66 0f ee vpmaxsw Vx,Hx,Wx avx2
vex 66 0f ef vpxor Vx,Hx,Wx avx2
vex 66 0f f1 vpsllw Vx,Hx,Wdq avx2
vex 66 0f f2 vpslld Vx,Hx,Wdq avx2
vex 66 0f f3 vpsllq Vx,Hx,Wdq avx2
vex 66 0f f4 vpmuludq Vx,Hx,Wx avx2
vex 66 0f f5 vpmaddwd Vx,Hx,Wx avx2
vex 66 0f f6 vpsadbw Vx,Hx,Wx avx2
vex 66 0f f8 vpsubb Vx,Hx,Wx avx2
vex 66 0f f9 vpsubw Vx,Hx,Wx avx2
vex 66 0f fa vpsubd Vx,Hx,Wx avx2
vex 66 0f fb vpsubq Vx,Hx,Wx avx2
vex 66 0f fc vpaddb Vx,Hx,Wx avx2
vex 66 0f fd vpaddw Vx,Hx,Wx avx2
vex 66 0f fe vpaddd Vx,Hx,Wx avx2
vex 66 0f 6c vpunpcklqdq Vx,Hx,Wx avx2
vex 66 0f 6d vpunpckhqdq Vx,Hx,Wx avx2
vex 66 0f 71 /2 mod3 vpsrlw Hx,Ux,Ib avx2
vex 66 0f 71 /4 mod3 vpsraw Hx,Ux,Ib avx2
vex 66 0f 71 /6 mod3 vpsllw Hx,Ux,Ib avx2
vex 66 0f 72 /2 mod3 vpsrld Hx,Ux,Ib avx2
vex 66 0f 72 /4 mod3 vpsrad Hx,Ux,Ib avx2
vex 66 0f 72 /6 mod3 vpslld Hx,Ux,Ib avx2
vex 66 0f 73 /2 mod3 vpsrlq Hx,Ux,Ib avx2
vex 66 0f 73 /6 mod3 vpsllq Hx,Ux,Ib avx2
vex 66 0f 73 /3 mod3 vpsrldq Hx,Ux,Ib avx2
vex 66 0f 73 /7 mod3 vpslldq Hx,Ux,Ib avx2
`;
