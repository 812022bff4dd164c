/** The three-byte opcode maps with a VEX prefix: SSSE3 to AES, AVX, AVX2, F16C, FMA (SDM vol. 2, appendix A.3, tables, the rows marked v). */
export const VEX_THREE_BYTE_ROWS = `
# SSSE3
vex 66 0f 38 00 vpshufb Vx,Hx,Wx avx2
vex 66 0f 38 01 vphaddw Vx,Hx,Wx avx2
vex 66 0f 38 02 vphaddd Vx,Hx,Wx avx2
vex 66 0f 38 03 vphaddsw Vx,Hx,Wx avx2
vex 66 0f 38 04 vpmaddubsw Vx,Hx,Wx avx2
vex 66 0f 38 05 vphsubw Vx,Hx,Wx avx2
vex 66 0f 38 06 vphsubd Vx,Hx,Wx avx2
vex 66 0f 38 07 vphsubsw Vx,Hx,Wx avx2
vex 66 0f 38 08 vpsignb Vx,Hx,Wx avx2
vex 66 0f 38 09 vpsignw Vx,Hx,Wx avx2
vex 66 0f 38 0a vpsignd Vx,Hx,Wx avx2
vex 66 0f 38 0b vpmulhrsw Vx,Hx,Wx avx2
vex 66 0f 38 1c vpabsb Vx,Wx avx2
vex 66 0f 38 1d vpabsw Vx,Wx avx2
vex 66 0f 38 1e vpabsd Vx,Wx avx2
vex 66 0f 3a 0f vpalignr Vx,Hx,Wx,Ib avx2
# SSE4.1
vex 66 0f 3a 4c vpblendvb Vx,Hx,Wx,Lx w0 avx2
vex 66 0f 3a 4a vblendvps Vx,Hx,Wx,Lx w0
vex 66 0f 3a 4b vblendvpd Vx,Hx,Wx,Lx w0
vex 66 0f 38 20 vpmovsxbw Vx,Whx avx2
vex 66 0f 38 21 vpmovsxbd Vx,Wqx avx2
vex 66 0f 38 22 vpmovsxbq Vx,Wex avx2
vex 66 0f 38 23 vpmovsxwd Vx,Whx avx2
vex 66 0f 38 24 vpmovsxwq Vx,Wqx avx2
vex 66 0f 38 25 vpmovsxdq Vx,Whx avx2
vex 66 0f 38 30 vpmovzxbw Vx,Whx avx2
vex 66 0f 38 31 vpmovzxbd Vx,Wqx avx2
vex 66 0f 38 32 vpmovzxbq Vx,Wex avx2
vex 66 0f 38 33 vpmovzxwd Vx,Whx avx2
vex 66 0f 38 34 vpmovzxwq Vx,Wqx avx2
vex 66 0f 38 35 vpmovzxdq Vx,Whx avx2
vex 66 0f 38 17 vptest Vx,Wx
vex 66 0f 38 28 vpmuldq Vx,Hx,Wx avx2
vex 66 0f 38 29 vpcmpeqq Vx,Hx,Wx avx2
vex 66 0f 38 2b vpackusdw Vx,Hx,Wx avx2
vex 66 0f 38 38 vpminsb Vx,Hx,Wx avx2
vex 66 0f 38 39 vpminsd Vx,Hx,Wx avx2
vex 66 0f 38 3a vpminuw Vx,Hx,Wx avx2
vex 66 0f 38 3b vpminud Vx,Hx,Wx avx2
vex 66 0f 38 3c vpmaxsb Vx,Hx,Wx avx2
vex 66 0f 38 3d vpmaxsd Vx,Hx,Wx avx2
vex 66 0f 38 3e vpmaxuw Vx,Hx,Wx avx2
vex 66 0f 38 3f vpmaxud Vx,Hx,Wx avx2
vex 66 0f 38 40 vpmulld Vx,Hx,Wx avx2
vex 66 0f 38 41 vphminposuw Vdq,Wdq l0
vex 66 0f 38 2a mem vmovntdqa Vx,Mx avx2
vex 66 0f 3a 08 vroundps Vx,Wx,Ib
vex 66 0f 3a 09 vroundpd Vx,Wx,Ib
vex 66 0f 3a 0a vroundss Vss,Hss,Wss,Ib
vex 66 0f 3a 0b vroundsd Vsd,Hsd,Wsd,Ib
vex 66 0f 3a 0c vblendps Vx,Hx,Wx,Ib
vex 66 0f 3a 0d vblendpd Vx,Hx,Wx,Ib
vex 66 0f 3a 0e vpblendw Vx,Hx,Wx,Ib avx2
vex 66 0f 3a 40 vdpps Vx,Hx,Wx,Ib
vex 66 0f 3a 41 vdppd Vpd,Hpd,Wpd,Ib l0
vex 66 0f 3a 42 vmpsadbw Vx,Hx,Wx,Ib avx2
vex 66 0f 3a 14 vpextrb Rd/Mb,Vdq,Ib l0
vex 66 0f 3a 15 vpextrw Rd/Mw,Vdq,Ib l0
vex 66 0f 3a 16 vpextrd Ey,Vdq,Ib l0
vex 66 0f 3a 17 vextractps Ed,Vdq,Ib l0
vex 66 0f 3a 20 vpinsrb Vdq,Hdq,Rd/Mb,Ib l0
vex 66 0f 3a 21 vinsertps Vdq,Hdq,Wd,Ib l0
vex 66 0f 3a 22 vpinsrd Vdq,Hdq,Ey,Ib l0
# SSE4.2
vex 66 0f 38 37 vpcmpgtq Vx,Hx,Wx avx2
vex 66 0f 3a 60 vpcmpestrm Vdq,Wdq,Ib l0
vex 66 0f 3a 61 vpcmpestri Vdq,Wdq,Ib l0
vex 66 0f 3a 62 vpcmpistrm Vdq,Wdq,Ib l0
vex 66 0f 3a 63 vpcmpistri Vdq,Wdq,Ib l0
vex 66 0f 38 db vaesimc Vdq,Wdq l0
vex 66 0f 38 dc vaesenc Vdq,Hdq,Wdq l0
vex 66 0f 38 dd vaesenclast Vdq,Hdq,Wdq l0
vex 66 0f 38 de vaesdec Vdq,Hdq,Wdq l0
vex 66 0f 38 df vaesdeclast Vdq,Hdq,Wdq l0
vex 66 0f 3a df vaeskeygenassist Vdq,Wdq,Ib l0
vex 66 0f 3a 44 vpclmulqdq Vdq,Hdq,Wdq,Ib l0
# AVX: broadcast, permute, masked moves, tests
vex 66 0f 38 0c vpermilps Vx,Hx,Wx w0
vex 66 0f 38 0d vpermilpd Vx,Hx,Wx w0
vex 66 0f 38 0e vtestps Vx,Wx w0
vex 66 0f 38 0f vtestpd Vx,Wx w0
vex 66 0f 38 18 mem vbroadcastss Vx,Md w0
vex 66 0f 38 19 mem vbroadcastsd Vqq,Mq w0 l1
vex 66 0f 38 1a mem vbroadcastf128 Vqq,Mdq w0 l1
vex 66 0f 38 2c mem vmaskmovps Vx,Hx,Mx w0
vex 66 0f 38 2d mem vmaskmovpd Vx,Hx,Mx w0
vex 66 0f 38 2e mem vmaskmovps Mx,Hx,Vx w0
vex 66 0f 38 2f mem vmaskmovpd Mx,Hx,Vx w0
vex 66 0f 3a 04 vpermilps Vx,Wx,Ib w0
vex 66 0f 3a 05 vpermilpd Vx,Wx,Ib w0
vex 66 0f 3a 06 vperm2f128 Vqq,Hqq,Wqq,Ib w0 l1
vex 66 0f 3a 18 vinsertf128 Vqq,Hqq,Wdq,Ib w0 l1
vex 66 0f 3a 19 vextractf128 Wdq,Vqq,Ib w0 l1
# AVX2
vex 66 0f 38 18 mod3 vbroadcastss Vx,Ud w0
vex 66 0f 38 19 mod3 vbroadcastsd Vqq,Uq w0 l1
vex 66 0f 38 16 vpermps Vqq,Hqq,Wqq w0 l1
vex 66 0f 38 36 vpermd Vqq,Hqq,Wqq w0 l1
vex 66 0f 38 45 vpsrlvd Vx,Hx,Wx w0
vex 66 0f 38 45 vpsrlvq Vx,Hx,Wx w1
vex 66 0f 38 46 vpsravd Vx,Hx,Wx w0
vex 66 0f 38 47 vpsllvd Vx,Hx,Wx w0
vex 66 0f 38 47 vpsllvq Vx,Hx,Wx w1
vex 66 0f 38 58 vpbroadcastd Vx,Wd w0
vex 66 0f 38 59 vpbroadcastq Vx,Wq w0
vex 66 0f 38 5a mem vbroadcasti128 Vqq,Mdq w0 l1
vex 66 0f 38 78 vpbroadcastb Vx,Wb w0
vex 66 0f 38 79 vpbroadcastw Vx,Ww w0
vex 66 0f 38 8c mem vpmaskmovd Vx,Hx,Mx w0
vex 66 0f 38 8c mem vpmaskmovq Vx,Hx,Mx w1
vex 66 0f 38 8e mem vpmaskmovd Mx,Hx,Vx w0
vex 66 0f 38 8e mem vpmaskmovq Mx,Hx,Vx w1
vex 66 0f 38 90 mem vpgatherdd Vx,Td,Hx w0
vex 66 0f 38 90 mem vpgatherdq Vx,Tq,Hx w1
vex 66 0f 38 91 mem vpgatherqd Vdq,Td,Hdq w0
vex 66 0f 38 91 mem vpgatherqq Vx,Tq,Hx w1
vex 66 0f 38 92 mem vgatherdps Vx,Td,Hx w0
vex 66 0f 38 92 mem vgatherdpd Vx,Tq,Hx w1
vex 66 0f 38 93 mem vgatherqps Vdq,Td,Hdq w0
vex 66 0f 38 93 mem vgatherqpd Vx,Tq,Hx w1
vex 66 0f 3a 00 vpermq Vqq,Wqq,Ib w1 l1
vex 66 0f 3a 01 vpermpd Vqq,Wqq,Ib w1 l1
vex 66 0f 3a 02 vpblendd Vx,Hx,Wx,Ib w0
vex 66 0f 3a 38 vinserti128 Vqq,Hqq,Wdq,Ib w0 l1
vex 66 0f 3a 39 vextracti128 Wdq,Vqq,Ib w0 l1
vex 66 0f 3a 46 vperm2i128 Vqq,Hqq,Wqq,Ib w0 l1
# F16C
vex 66 0f 38 13 vcvtph2ps Vx,Whx w0
vex 66 0f 3a 1d vcvtps2ph Whx,Vx,Ib w0
# FMA
vex 66 0f 38 96 vfmaddsub132ps Vx,Hx,Wx w0
vex 66 0f 38 96 vfmaddsub132pd Vx,Hx,Wx w1
vex 66 0f 38 97 vfmsubadd132ps Vx,Hx,Wx w0
vex 66 0f 38 97 vfmsubadd132pd Vx,Hx,Wx w1
vex 66 0f 38 98 vfmadd132ps Vx,Hx,Wx w0
vex 66 0f 38 99 vfmadd132ss Vss,Hss,Wss w0
vex 66 0f 38 98 vfmadd132pd Vx,Hx,Wx w1
vex 66 0f 38 99 vfmadd132sd Vsd,Hsd,Wsd w1
vex 66 0f 38 9a vfmsub132ps Vx,Hx,Wx w0
vex 66 0f 38 9b vfmsub132ss Vss,Hss,Wss w0
vex 66 0f 38 9a vfmsub132pd Vx,Hx,Wx w1
vex 66 0f 38 9b vfmsub132sd Vsd,Hsd,Wsd w1
vex 66 0f 38 9c vfnmadd132ps Vx,Hx,Wx w0
vex 66 0f 38 9d vfnmadd132ss Vss,Hss,Wss w0
vex 66 0f 38 9c vfnmadd132pd Vx,Hx,Wx w1
vex 66 0f 38 9d vfnmadd132sd Vsd,Hsd,Wsd w1
vex 66 0f 38 9e vfnmsub132ps Vx,Hx,Wx w0
vex 66 0f 38 9f vfnmsub132ss Vss,Hss,Wss w0
vex 66 0f 38 9e vfnmsub132pd Vx,Hx,Wx w1
vex 66 0f 38 9f vfnmsub132sd Vsd,Hsd,Wsd w1
vex 66 0f 38 a6 vfmaddsub213ps Vx,Hx,Wx w0
vex 66 0f 38 a6 vfmaddsub213pd Vx,Hx,Wx w1
vex 66 0f 38 a7 vfmsubadd213ps Vx,Hx,Wx w0
vex 66 0f 38 a7 vfmsubadd213pd Vx,Hx,Wx w1
vex 66 0f 38 a8 vfmadd213ps Vx,Hx,Wx w0
vex 66 0f 38 a9 vfmadd213ss Vss,Hss,Wss w0
vex 66 0f 38 a8 vfmadd213pd Vx,Hx,Wx w1
vex 66 0f 38 a9 vfmadd213sd Vsd,Hsd,Wsd w1
vex 66 0f 38 aa vfmsub213ps Vx,Hx,Wx w0
vex 66 0f 38 ab vfmsub213ss Vss,Hss,Wss w0
vex 66 0f 38 aa vfmsub213pd Vx,Hx,Wx w1
vex 66 0f 38 ab vfmsub213sd Vsd,Hsd,Wsd w1
vex 66 0f 38 ac vfnmadd213ps Vx,Hx,Wx w0
vex 66 0f 38 ad vfnmadd213ss Vss,Hss,Wss w0
vex 66 0f 38 ac vfnmadd213pd Vx,Hx,Wx w1
vex 66 0f 38 ad vfnmadd213sd Vsd,Hsd,Wsd w1
vex 66 0f 38 ae vfnmsub213ps Vx,Hx,Wx w0
vex 66 0f 38 af vfnmsub213ss Vss,Hss,Wss w0
vex 66 0f 38 ae vfnmsub213pd Vx,Hx,Wx w1
vex 66 0f 38 af vfnmsub213sd Vsd,Hsd,Wsd w1
vex 66 0f 38 b6 vfmaddsub231ps Vx,Hx,Wx w0
vex 66 0f 38 b6 vfmaddsub231pd Vx,Hx,Wx w1
vex 66 0f 38 b7 vfmsubadd231ps Vx,Hx,Wx w0
vex 66 0f 38 b7 vfmsubadd231pd Vx,Hx,Wx w1
vex 66 0f 38 b8 vfmadd231ps Vx,Hx,Wx w0
vex 66 0f 38 b9 vfmadd231ss Vss,Hss,Wss w0
vex 66 0f 38 b8 vfmadd231pd Vx,Hx,Wx w1
vex 66 0f 38 b9 vfmadd231sd Vsd,Hsd,Wsd w1
vex 66 0f 38 ba vfmsub231ps Vx,Hx,Wx w0
vex 66 0f 38 bb vfmsub231ss Vss,Hss,Wss w0
vex 66 0f 38 ba vfmsub231pd Vx,Hx,Wx w1
vex 66 0f 38 bb vfmsub231sd Vsd,Hsd,Wsd w1
vex 66 0f 38 bc vfnmadd231ps Vx,Hx,Wx w0
vex 66 0f 38 bd vfnmadd231ss Vss,Hss,Wss w0
vex 66 0f 38 bc vfnmadd231pd Vx,Hx,Wx w1
vex 66 0f 38 bd vfnmadd231sd Vsd,Hsd,Wsd w1
vex 66 0f 38 be vfnmsub231ps Vx,Hx,Wx w0
vex 66 0f 38 bf vfnmsub231ss Vss,Hss,Wss w0
vex 66 0f 38 be vfnmsub231pd Vx,Hx,Wx w1
vex 66 0f 38 bf vfnmsub231sd Vsd,Hsd,Wsd w1
`;
