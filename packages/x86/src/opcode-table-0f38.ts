/** The three-byte opcode maps 0F 38 and 0F 3A without VEX (SDM vol. 2, appendix A.3, tables ). */
export const THREE_BYTE_ROWS = `
# SSSE3
np 0f 38 00 pshufb Pq,Qq
66 0f 38 00 pshufb Vdq,Wdq
np 0f 38 01 phaddw Pq,Qq
66 0f 38 01 phaddw Vdq,Wdq
np 0f 38 02 phaddd Pq,Qq
66 0f 38 02 phaddd Vdq,Wdq
np 0f 38 03 phaddsw Pq,Qq
66 0f 38 03 phaddsw Vdq,Wdq
np 0f 38 04 pmaddubsw Pq,Qq
66 0f 38 04 pmaddubsw Vdq,Wdq
np 0f 38 05 phsubw Pq,Qq
66 0f 38 05 phsubw Vdq,Wdq
np 0f 38 06 phsubd Pq,Qq
66 0f 38 06 phsubd Vdq,Wdq
np 0f 38 07 phsubsw Pq,Qq
66 0f 38 07 phsubsw Vdq,Wdq
np 0f 38 08 psignb Pq,Qq
66 0f 38 08 psignb Vdq,Wdq
np 0f 38 09 psignw Pq,Qq
66 0f 38 09 psignw Vdq,Wdq
np 0f 38 0a psignd Pq,Qq
66 0f 38 0a psignd Vdq,Wdq
np 0f 38 0b pmulhrsw Pq,Qq
66 0f 38 0b pmulhrsw Vdq,Wdq
np 0f 38 1c pabsb Pq,Qq
66 0f 38 1c pabsb Vdq,Wdq
np 0f 38 1d pabsw Pq,Qq
66 0f 38 1d pabsw Vdq,Wdq
np 0f 38 1e pabsd Pq,Qq
66 0f 38 1e pabsd Vdq,Wdq
np 0f 3a 0f palignr Pq,Qq,Ib
66 0f 3a 0f palignr Vdq,Wdq,Ib
# SSE4.1
66 0f 38 10 pblendvb Vdq,Wdq,XMM0
66 0f 38 14 blendvps Vdq,Wdq,XMM0
66 0f 38 15 blendvpd Vdq,Wdq,XMM0
66 0f 38 20 pmovsxbw Vdq,Wq
66 0f 38 21 pmovsxbd Vdq,Wd
66 0f 38 22 pmovsxbq Vdq,Ww
66 0f 38 23 pmovsxwd Vdq,Wq
66 0f 38 24 pmovsxwq Vdq,Wd
66 0f 38 25 pmovsxdq Vdq,Wq
66 0f 38 30 pmovzxbw Vdq,Wq
66 0f 38 31 pmovzxbd Vdq,Wd
66 0f 38 32 pmovzxbq Vdq,Ww
66 0f 38 33 pmovzxwd Vdq,Wq
66 0f 38 34 pmovzxwq Vdq,Wd
66 0f 38 35 pmovzxdq Vdq,Wq
66 0f 38 17 ptest Vdq,Wdq
66 0f 38 28 pmuldq Vdq,Wdq
66 0f 38 29 pcmpeqq Vdq,Wdq
66 0f 38 2b packusdw Vdq,Wdq
66 0f 38 38 pminsb Vdq,Wdq
66 0f 38 39 pminsd Vdq,Wdq
66 0f 38 3a pminuw Vdq,Wdq
66 0f 38 3b pminud Vdq,Wdq
66 0f 38 3c pmaxsb Vdq,Wdq
66 0f 38 3d pmaxsd Vdq,Wdq
66 0f 38 3e pmaxuw Vdq,Wdq
66 0f 38 3f pmaxud Vdq,Wdq
66 0f 38 40 pmulld Vdq,Wdq
66 0f 38 41 phminposuw Vdq,Wdq
66 0f 38 2a mem movntdqa Vdq,Mdq
66 0f 3a 08 roundps Vps,Wps,Ib
66 0f 3a 09 roundpd Vpd,Wpd,Ib
66 0f 3a 0a roundss Vss,Wss,Ib
66 0f 3a 0b roundsd Vsd,Wsd,Ib
66 0f 3a 0c blendps Vps,Wps,Ib
66 0f 3a 0d blendpd Vpd,Wpd,Ib
66 0f 3a 0e pblendw Vdq,Wdq,Ib
66 0f 3a 40 dpps Vps,Wps,Ib
66 0f 3a 41 dppd Vpd,Wpd,Ib
66 0f 3a 42 mpsadbw Vdq,Wdq,Ib
66 0f 3a 14 pextrb Rd/Mb,Vdq,Ib
66 0f 3a 15 pextrw Rd/Mw,Vdq,Ib
66 0f 3a 16 pextrd Ey,Vdq,Ib
66 0f 3a 17 extractps Ed,Vdq,Ib
66 0f 3a 20 pinsrb Vdq,Rd/Mb,Ib
66 0f 3a 21 insertps Vdq,Wd,Ib
66 0f 3a 22 pinsrd Vdq,Ey,Ib
# SSE4.2
66 0f 38 37 pcmpgtq Vdq,Wdq
66 0f 3a 60 pcmpestrm Vdq,Wdq,Ib
66 0f 3a 61 pcmpestri Vdq,Wdq,Ib
66 0f 3a 62 pcmpistrm Vdq,Wdq,Ib
66 0f 3a 63 pcmpistri Vdq,Wdq,Ib
f2 0f 38 f0 crc32 Gy,Eb
f2 0f 38 f1 crc32 Gy,Ev
# MOVBE, ADX, INVPCID, AES, PCLMULQDQ
nfx 0f 38 f0 mem movbe Gv,Mv
nfx 0f 38 f1 mem movbe Mv,Gv
66 0f 38 f6 adcx Gy,Ey
f3 0f 38 f6 adox Gy,Ey
66 0f 38 82 mem invpcid Gn,Mdq
66 0f 38 db aesimc Vdq,Wdq
66 0f 38 dc aesenc Vdq,Wdq
66 0f 38 dd aesenclast Vdq,Wdq
66 0f 38 de aesdec Vdq,Wdq
66 0f 38 df aesdeclast Vdq,Wdq
66 0f 3a df aeskeygenassist Vdq,Wdq,Ib
66 0f 3a 44 pclmulqdq Vdq,Wdq,Ib
`;
