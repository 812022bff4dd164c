/** AVX: the floating-point instructions of the two-byte opcode map with a VEX prefix (SDM vol. 2, appendix A.3, table A-3, the rows marked v). */
export const VEX_FLOAT_ROWS = `
# moves
vex np 0f 10 vmovups Vx,Wx
vex 66 0f 10 vmovupd Vx,Wx
vex f3 0f 10 mem vmovss Vdq,Mss
vex f3 0f 10 mod3 vmovss Vss,Hss,Uss
vex f2 0f 10 mem vmovsd Vdq,Msd
vex f2 0f 10 mod3 vmovsd Vsd,Hsd,Usd
vex np 0f 11 vmovups Wx,Vx
vex 66 0f 11 vmovupd Wx,Vx
vex f3 0f 11 mem vmovss Mss,Vss
vex f3 0f 11 mod3 vmovss Uss,Hss,Vss
vex f2 0f 11 mem vmovsd Msd,Vsd
vex f2 0f 11 mod3 vmovsd Usd,Hsd,Vsd
vex np 0f 12 mem vmovlps Vq,Hq,Mq l0
vex np 0f 12 mod3 vmovhlps Vq,Hq,Uq l0
vex 66 0f 12 mem vmovlpd Vq,Hq,Mq l0
vex f2 0f 12 vmovddup Vdq,Wq l0
vex f2 0f 12 vmovddup Vqq,Wqq l1
vex f3 0f 12 vmovsldup Vx,Wx
vex np 0f 13 mem vmovlps Mq,Vq l0
vex 66 0f 13 mem vmovlpd Mq,Vq l0
vex np 0f 14 vunpcklps Vx,Hx,Wx
vex 66 0f 14 vunpcklpd Vx,Hx,Wx
vex np 0f 15 vunpckhps Vx,Hx,Wx
vex 66 0f 15 vunpckhpd Vx,Hx,Wx
vex np 0f 16 mem vmovhps Vq,Hq,Mq l0
vex np 0f 16 mod3 vmovlhps Vq,Hq,Uq l0
vex 66 0f 16 mem vmovhpd Vq,Hq,Mq l0
vex f3 0f 16 vmovshdup Vx,Wx
vex np 0f 17 mem vmovhps Mq,Vq l0
vex 66 0f 17 mem vmovhpd Mq,Vq l0
vex np 0f 28 vmovaps Vx,Wx
vex 66 0f 28 vmovapd Vx,Wx
vex np 0f 29 vmovaps Wx,Vx
vex 66 0f 29 vmovapd Wx,Vx
vex f3 0f 2a vcvtsi2ss Vss,Hss,Ey
vex f2 0f 2a vcvtsi2sd Vsd,Hsd,Ey
vex np 0f 2b mem vmovntps Mx,Vx
vex 66 0f 2b mem vmovntpd Mx,Vx
vex f3 0f 2c vcvttss2si Gy,Wss
vex f2 0f 2c vcvttsd2si Gy,Wsd
vex f3 0f 2d vcvtss2si Gy,Wss
vex f2 0f 2d vcvtsd2si Gy,Wsd
vex np 0f 2e vucomiss Vss,Wss
vex 66 0f 2e vucomisd Vsd,Wsd
vex np 0f 2f vcomiss Vss,Wss
vex 66 0f 2f vcomisd Vsd,Wsd
vex np 0f 50 mod3 vmovmskps Gd,Ux
vex 66 0f 50 mod3 vmovmskpd Gd,Ux
# floating-point arithmetic
vex np 0f 51 vsqrtps Vx,Wx
vex 66 0f 51 vsqrtpd Vx,Wx
vex f3 0f 51 vsqrtss Vss,Hss,Wss
vex f2 0f 51 vsqrtsd Vsd,Hsd,Wsd
vex np 0f 58 vaddps Vx,Hx,Wx
vex 66 0f 58 vaddpd Vx,Hx,Wx
vex f3 0f 58 vaddss Vss,Hss,Wss
vex f2 0f 58 vaddsd Vsd,Hsd,Wsd
vex np 0f 59 vmulps Vx,Hx,Wx
vex 66 0f 59 vmulpd Vx,Hx,Wx
vex f3 0f 59 vmulss Vss,Hss,Wss
vex f2 0f 59 vmulsd Vsd,Hsd,Wsd
vex np 0f 5c vsubps Vx,Hx,Wx
vex 66 0f 5c vsubpd Vx,Hx,Wx
vex f3 0f 5c vsubss Vss,Hss,Wss
vex f2 0f 5c vsubsd Vsd,Hsd,Wsd
vex np 0f 5d vminps Vx,Hx,Wx
vex 66 0f 5d vminpd Vx,Hx,Wx
vex f3 0f 5d vminss Vss,Hss,Wss
vex f2 0f 5d vminsd Vsd,Hsd,Wsd
vex np 0f 5e vdivps Vx,Hx,Wx
vex 66 0f 5e vdivpd Vx,Hx,Wx
vex f3 0f 5e vdivss Vss,Hss,Wss
vex f2 0f 5e vdivsd Vsd,Hsd,Wsd
vex np 0f 5f vmaxps Vx,Hx,Wx
vex 66 0f 5f vmaxpd Vx,Hx,Wx
vex f3 0f 5f vmaxss Vss,Hss,Wss
vex f2 0f 5f vmaxsd Vsd,Hsd,Wsd
vex np 0f 52 vrsqrtps Vx,Wx
vex f3 0f 52 vrsqrtss Vss,Hss,Wss
vex np 0f 53 vrcpps Vx,Wx
vex f3 0f 53 vrcpss Vss,Hss,Wss
vex np 0f 54 vandps Vx,Hx,Wx
vex 66 0f 54 vandpd Vx,Hx,Wx
vex np 0f 55 vandnps Vx,Hx,Wx
vex 66 0f 55 vandnpd Vx,Hx,Wx
vex np 0f 56 vorps Vx,Hx,Wx
vex 66 0f 56 vorpd Vx,Hx,Wx
vex np 0f 57 vxorps Vx,Hx,Wx
vex 66 0f 57 vxorpd Vx,Hx,Wx
vex np 0f 5a vcvtps2pd Vx,Whx
vex 66 0f 5a vcvtpd2ps Vdq,Wx
vex f3 0f 5a vcvtss2sd Vsd,Hsd,Wss
vex f2 0f 5a vcvtsd2ss Vss,Hss,Wsd
vex np 0f 5b vcvtdq2ps Vx,Wx
vex 66 0f 5b vcvtps2dq Vx,Wx
vex f3 0f 5b vcvttps2dq Vx,Wx
vex f3 0f e6 vcvtdq2pd Vx,Whx
vex 66 0f e6 vcvttpd2dq Vdq,Wx
vex f2 0f e6 vcvtpd2dq Vdq,Wx
vex np 0f c2 vcmpps Vx,Hx,Wx,Ib
vex 66 0f c2 vcmppd Vx,Hx,Wx,Ib
vex f3 0f c2 vcmpss Vss,Hss,Wss,Ib
vex f2 0f c2 vcmpsd Vsd,Hsd,Wsd,Ib
vex np 0f c6 vshufps Vx,Hx,Wx,Ib
vex 66 0f c6 vshufpd Vx,Hx,Wx,Ib
vex 66 0f 7c vhaddpd Vx,Hx,Wx
vex f2 0f 7c vhaddps Vx,Hx,Wx
vex 66 0f 7d vhsubpd Vx,Hx,Wx
vex f2 0f 7d vhsubps Vx,Hx,Wx
vex 66 0f d0 vaddsubpd Vx,Hx,Wx
vex f2 0f d0 vaddsubps Vx,Hx,Wx
vex f2 0f f0 mem vlddqu Vx,Mx
# state
vex np 0f 77 vzeroupper l0
vex np 0f 77 vzeroall l1
vex np 0f ae /2 mem vldmxcsr Md l0
vex np 0f ae /3 mem vstmxcsr Md l0
`;
