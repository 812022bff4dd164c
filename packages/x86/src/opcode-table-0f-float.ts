/** The two-byte opcode map, SSE, SSE2 and SSE3 floating point (SDM vol. 2, appendix A.3, table A-3). */
export const FLOAT_VECTOR_ROWS = `
# moves
np 0f 10 movups Vps,Wps
66 0f 10 movupd Vpd,Wpd
f3 0f 10 movss Vss,Wss
f2 0f 10 movsd Vsd,Wsd
np 0f 11 movups Wps,Vps
66 0f 11 movupd Wpd,Vpd
f3 0f 11 movss Wss,Vss
f2 0f 11 movsd Wsd,Vsd
np 0f 12 mem movlps Vq,Mq
np 0f 12 mod3 movhlps Vq,Uq
66 0f 12 mem movlpd Vq,Mq
f2 0f 12 movddup Vdq,Wq
f3 0f 12 movsldup Vdq,Wdq
np 0f 13 mem movlps Mq,Vq
66 0f 13 mem movlpd Mq,Vq
np 0f 14 unpcklps Vps,Wps
66 0f 14 unpcklpd Vpd,Wpd
np 0f 15 unpckhps Vps,Wps
66 0f 15 unpckhpd Vpd,Wpd
np 0f 16 mem movhps Vq,Mq
np 0f 16 mod3 movlhps Vq,Uq
66 0f 16 mem movhpd Vq,Mq
f3 0f 16 movshdup Vdq,Wdq
np 0f 17 mem movhps Mq,Vq
66 0f 17 mem movhpd Mq,Vq
np 0f 28 movaps Vps,Wps
66 0f 28 movapd Vpd,Wpd
np 0f 29 movaps Wps,Vps
66 0f 29 movapd Wpd,Vpd
np 0f 2a cvtpi2ps Vps,Qq
66 0f 2a cvtpi2pd Vpd,Qq
f3 0f 2a cvtsi2ss Vss,Ey
f2 0f 2a cvtsi2sd Vsd,Ey
np 0f 2b mem movntps Mps,Vps
66 0f 2b mem movntpd Mpd,Vpd
np 0f 2c cvttps2pi Pq,Wq
66 0f 2c cvttpd2pi Pq,Wpd
f3 0f 2c cvttss2si Gy,Wss
f2 0f 2c cvttsd2si Gy,Wsd
np 0f 2d cvtps2pi Pq,Wq
66 0f 2d cvtpd2pi Pq,Wpd
f3 0f 2d cvtss2si Gy,Wss
f2 0f 2d cvtsd2si Gy,Wsd
np 0f 2e ucomiss Vss,Wss
66 0f 2e ucomisd Vsd,Wsd
np 0f 2f comiss Vss,Wss
66 0f 2f comisd Vsd,Wsd
np 0f 50 mod3 movmskps Gd,Udq
66 0f 50 mod3 movmskpd Gd,Udq
# floating-point arithmetic
np 0f 51 sqrtps Vps,Wps
66 0f 51 sqrtpd Vpd,Wpd
f3 0f 51 sqrtss Vss,Wss
f2 0f 51 sqrtsd Vsd,Wsd
np 0f 58 addps Vps,Wps
66 0f 58 addpd Vpd,Wpd
f3 0f 58 addss Vss,Wss
f2 0f 58 addsd Vsd,Wsd
np 0f 59 mulps Vps,Wps
66 0f 59 mulpd Vpd,Wpd
f3 0f 59 mulss Vss,Wss
f2 0f 59 mulsd Vsd,Wsd
np 0f 5c subps Vps,Wps
66 0f 5c subpd Vpd,Wpd
f3 0f 5c subss Vss,Wss
f2 0f 5c subsd Vsd,Wsd
np 0f 5d minps Vps,Wps
66 0f 5d minpd Vpd,Wpd
f3 0f 5d minss Vss,Wss
f2 0f 5d minsd Vsd,Wsd
np 0f 5e divps Vps,Wps
66 0f 5e divpd Vpd,Wpd
f3 0f 5e divss Vss,Wss
f2 0f 5e divsd Vsd,Wsd
np 0f 5f maxps Vps,Wps
66 0f 5f maxpd Vpd,Wpd
f3 0f 5f maxss Vss,Wss
f2 0f 5f maxsd Vsd,Wsd
np 0f 52 rsqrtps Vps,Wps
f3 0f 52 rsqrtss Vss,Wss
np 0f 53 rcpps Vps,Wps
f3 0f 53 rcpss Vss,Wss
np 0f 54 andps Vps,Wps
66 0f 54 andpd Vpd,Wpd
np 0f 55 andnps Vps,Wps
66 0f 55 andnpd Vpd,Wpd
np 0f 56 orps Vps,Wps
66 0f 56 orpd Vpd,Wpd
np 0f 57 xorps Vps,Wps
66 0f 57 xorpd Vpd,Wpd
np 0f 5a cvtps2pd Vpd,Wq
66 0f 5a cvtpd2ps Vps,Wpd
f3 0f 5a cvtss2sd Vsd,Wss
f2 0f 5a cvtsd2ss Vss,Wsd
np 0f 5b cvtdq2ps Vps,Wdq
66 0f 5b cvtps2dq Vdq,Wps
f3 0f 5b cvttps2dq Vdq,Wps
f3 0f e6 cvtdq2pd Vpd,Wq
66 0f e6 cvttpd2dq Vdq,Wpd
f2 0f e6 cvtpd2dq Vdq,Wpd
np 0f c2 cmpps Vps,Wps,Ib
66 0f c2 cmppd Vpd,Wpd,Ib
f3 0f c2 cmpss Vss,Wss,Ib
f2 0f c2 cmpsd Vsd,Wsd,Ib
np 0f c6 shufps Vps,Wps,Ib
66 0f c6 shufpd Vpd,Wpd,Ib
66 0f 7c haddpd Vpd,Wpd
f2 0f 7c haddps Vps,Wps
66 0f 7d hsubpd Vpd,Wpd
f2 0f 7d hsubps Vps,Wps
66 0f d0 addsubpd Vpd,Wpd
f2 0f d0 addsubps Vps,Wps
f2 0f f0 mem lddqu Vdq,Mdq
`;
