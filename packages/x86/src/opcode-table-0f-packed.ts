/** The two-byte opcode map, MMX and SSE2 packed integers (SDM vol. 2, appendix A.3, tables ). */
export const PACKED_INTEGER_ROWS = `
# moves
np 0f 6e movd Pq,Ey
66 0f 6e movd Vdq,Ey
np 0f 7e movd Ey,Pq
66 0f 7e movd Ey,Vdq
f3 0f 7e movq Vq,Wq
66 0f d6 movq Wq,Vq
f3 0f d6 mod3 movq2dq Vdq,Nq
f2 0f d6 mod3 movdq2q Pq,Uq
np 0f 6f movq Pq,Qq
66 0f 6f movdqa Vdq,Wdq
f3 0f 6f movdqu Vdq,Wdq
np 0f 7f movq Qq,Pq
66 0f 7f movdqa Wdq,Vdq
f3 0f 7f movdqu Wdq,Vdq
np 0f e7 mem movntq Mq,Pq
66 0f e7 mem movntdq Mdq,Vdq
np 0f f7 mod3 maskmovq Pq,Nq
66 0f f7 mod3 maskmovdqu Vdq,Udq
np 0f d7 mod3 pmovmskb Gd,Nq
66 0f d7 mod3 pmovmskb Gd,Udq
np 0f c4 pinsrw Pq,Rd/Mw,Ib
66 0f c4 pinsrw Vdq,Rd/Mw,Ib
np 0f c5 mod3 pextrw Gd,Nq,Ib
66 0f c5 mod3 pextrw Gd,Udq,Ib
np 0f 70 pshufw Pq,Qq,Ib
66 0f 70 pshufd Vdq,Wdq,Ib
f3 0f 70 pshufhw Vdq,Wdq,Ib
f2 0f 70 pshuflw Vdq,Wdq,Ib
np 0f 77 emms
# packed integers
np 0f 60 punpcklbw Pq,Qd
66 0f 60 punpcklbw Vdq,Wdq
np 0f 61 punpcklwd Pq,Qd
66 0f 61 punpcklwd Vdq,Wdq
np 0f 62 punpckldq Pq,Qd
66 0f 62 punpckldq Vdq,Wdq
np 0f 63 packsswb Pq,Qq
66 0f 63 packsswb Vdq,Wdq
np 0f 64 pcmpgtb Pq,Qq
66 0f 64 pcmpgtb Vdq,Wdq
np 0f 65 pcmpgtw Pq,Qq
66 0f 65 pcmpgtw Vdq,Wdq
np 0f 66 pcmpgtd Pq,Qq
66 0f 66 pcmpgtd Vdq,Wdq
np 0f 67 packuswb Pq,Qq
66 0f 67 packuswb Vdq,Wdq
np 0f 68 punpckhbw Pq,Qq
66 0f 68 punpckhbw Vdq,Wdq
np 0f 69 punpckhwd Pq,Qq
66 0f 69 punpckhwd Vdq,Wdq
np 0f 6a punpckhdq Pq,Qq
66 0f 6a punpckhdq Vdq,Wdq
np 0f 6b packssdw Pq,Qq
66 0f 6b packssdw Vdq,Wdq
np 0f 74 pcmpeqb Pq,Qq
66 0f 74 pcmpeqb Vdq,Wdq
np 0f 75 pcmpeqw Pq,Qq
66 0f 75 pcmpeqw Vdq,Wdq
np 0f 76 pcmpeqd Pq,Qq
66 0f 76 pcmpeqd Vdq,Wdq
np 0f d1 psrlw Pq,Qq
66 0f d1 psrlw Vdq,Wdq
np 0f d2 psrld Pq,Qq
66 0f d2 psrld Vdq,Wdq
np 0f d3 psrlq Pq,Qq
66 0f d3 psrlq Vdq,Wdq
np 0f d4 paddq Pq,Qq
66 0f d4 paddq Vdq,Wdq
np 0f d5 pmullw Pq,Qq
66 0f d5 pmullw Vdq,Wdq
np 0f d8 psubusb Pq,Qq
66 0f d8 psubusb Vdq,Wdq
np 0f d9 psubusw Pq,Qq
66 0f d9 psubusw Vdq,Wdq
np 0f da pminub Pq,Qq
66 0f da pminub Vdq,Wdq
np 0f db pand Pq,Qq
66 0f db pand Vdq,Wdq
np 0f dc paddusb Pq,Qq
66 0f dc paddusb Vdq,Wdq
np 0f dd paddusw Pq,Qq
66 0f dd paddusw Vdq,Wdq
np 0f de pmaxub Pq,Qq
66 0f de pmaxub Vdq,Wdq
np 0f df pandn Pq,Qq
66 0f df pandn Vdq,Wdq
np 0f e0 pavgb Pq,Qq
66 0f e0 pavgb Vdq,Wdq
np 0f e1 psraw Pq,Qq
66 0f e1 psraw Vdq,Wdq
np 0f e2 psrad Pq,Qq
66 0f e2 psrad Vdq,Wdq
np 0f e3 pavgw Pq,Qq
66 0f e3 pavgw Vdq,Wdq
np 0f e4 pmulhuw Pq,Qq
66 0f e4 pmulhuw Vdq,Wdq
np 0f e5 pmulhw Pq,Qq
66 0f e5 pmulhw Vdq,Wdq
np 0f e8 psubsb Pq,Qq
66 0f e8 psubsb Vdq,Wdq
np 0f e9 psubsw Pq,Qq
66 0f e9 psubsw Vdq,Wdq
np 0f ea pminsw Pq,Qq
66 0f ea pminsw Vdq,Wdq
np 0f eb por Pq,Qq
66 0f eb por Vdq,Wdq
np 0f ec paddsb Pq,Qq
66 0f ec paddsb Vdq,Wdq
np 0f ed paddsw Pq,Qq
66 0f ed paddsw Vdq,Wdq
np 0f ee pmaxsw Pq,Qq
66 0f ee pmaxsw Vdq,Wdq
np 0f ef pxor Pq,Qq
66 0f ef pxor Vdq,Wdq
np 0f f1 psllw Pq,Qq
66 0f f1 psllw Vdq,Wdq
np 0f f2 pslld Pq,Qq
66 0f f2 pslld Vdq,Wdq
np 0f f3 psllq Pq,Qq
66 0f f3 psllq Vdq,Wdq
np 0f f4 pmuludq Pq,Qq
66 0f f4 pmuludq Vdq,Wdq
np 0f f5 pmaddwd Pq,Qq
66 0f f5 pmaddwd Vdq,Wdq
np 0f f6 psadbw Pq,Qq
66 0f f6 psadbw Vdq,Wdq
np 0f f8 psubb Pq,Qq
66 0f f8 psubb Vdq,Wdq
np 0f f9 psubw Pq,Qq
66 0f f9 psubw Vdq,Wdq
np 0f fa psubd Pq,Qq
66 0f fa psubd Vdq,Wdq
np 0f fb psubq Pq,Qq
66 0f fb psubq Vdq,Wdq
np 0f fc paddb Pq,Qq
66 0f fc paddb Vdq,Wdq
np 0f fd paddw Pq,Qq
66 0f fd paddw Vdq,Wdq
np 0f fe paddd Pq,Qq
66 0f fe paddd Vdq,Wdq
66 0f 6c punpcklqdq Vdq,Wdq
66 0f 6d punpckhqdq Vdq,Wdq
np 0f 71 /2 mod3 psrlw Nq,Ib
66 0f 71 /2 mod3 psrlw Udq,Ib
np 0f 71 /4 mod3 psraw Nq,Ib
66 0f 71 /4 mod3 psraw Udq,Ib
np 0f 71 /6 mod3 psllw Nq,Ib
66 0f 71 /6 mod3 psllw Udq,Ib
np 0f 72 /2 mod3 psrld Nq,Ib
66 0f 72 /2 mod3 psrld Udq,Ib
np 0f 72 /4 mod3 psrad Nq,Ib
66 0f 72 /4 mod3 psrad Udq,Ib
np 0f 72 /6 mod3 pslld Nq,Ib
66 0f 72 /6 mod3 pslld Udq,Ib
np 0f 73 /2 mod3 psrlq Nq,Ib
66 0f 73 /2 mod3 psrlq Udq,Ib
np 0f 73 /6 mod3 psllq Nq,Ib
66 0f 73 /6 mod3 psllq Udq,Ib
66 0f 73 /3 mod3 psrldq Udq,Ib
66 0f 73 /7 mod3 pslldq Udq,Ib
`;
