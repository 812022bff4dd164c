/** The one-byte opcode map without x87 (SDM vol. 2, appendix A.3, tables ). */
export const ONE_BYTE_ROWS = `
00 add Eb,Gb lock
01 add Ev,Gv lock
02 add Gb,Eb
03 add Gv,Ev
04 add AL,Ib
05 add rAX,Iz
06 push_seg ES i64
07 pop_seg ES i64
08 or Eb,Gb lock
09 or Ev,Gv lock
0a or Gb,Eb
0b or Gv,Ev
0c or AL,Ib
0d or rAX,Iz
0e push_seg CS i64
10 adc Eb,Gb lock
11 adc Ev,Gv lock
12 adc Gb,Eb
13 adc Gv,Ev
14 adc AL,Ib
15 adc rAX,Iz
16 push_seg SS i64
17 pop_seg SS i64
18 sbb Eb,Gb lock
19 sbb Ev,Gv lock
1a sbb Gb,Eb
1b sbb Gv,Ev
1c sbb AL,Ib
1d sbb rAX,Iz
1e push_seg DS i64
1f pop_seg DS i64
20 and Eb,Gb lock
21 and Ev,Gv lock
22 and Gb,Eb
23 and Gv,Ev
24 and AL,Ib
25 and rAX,Iz
27 daa i64
28 sub Eb,Gb lock
29 sub Ev,Gv lock
2a sub Gb,Eb
2b sub Gv,Ev
2c sub AL,Ib
2d sub rAX,Iz
2f das i64
30 xor Eb,Gb lock
31 xor Ev,Gv lock
32 xor Gb,Eb
33 xor Gv,Ev
34 xor AL,Ib
35 xor rAX,Iz
37 aaa i64
38 cmp Eb,Gb
39 cmp Ev,Gv
3a cmp Gb,Eb
3b cmp Gv,Ev
3c cmp AL,Ib
3d cmp rAX,Iz
3f aas i64
40+r inc Zv i64
48+r dec Zv i64
50+r push Zv d64
58+r pop Zv d64
60 pusha i64
61 popa i64
62 bound Gv,Ma i64
63 arpl Ew,Gw i64
63 movsxd Gv,Ez o64
68 push Iz d64
69 imul Gv,Ev,Iz
6a push Ibs d64
6b imul Gv,Ev,Ibs
6c ins Yb,DX
6d ins Yz,DX
6e outs DX,Xb
6f outs DX,Xz
70+cc jcc Jb f64
80 /0 add Eb,Ib lock
80 /1 or Eb,Ib lock
80 /2 adc Eb,Ib lock
80 /3 sbb Eb,Ib lock
80 /4 and Eb,Ib lock
80 /5 sub Eb,Ib lock
80 /6 xor Eb,Ib lock
80 /7 cmp Eb,Ib
81 /0 add Ev,Iz lock
81 /1 or Ev,Iz lock
81 /2 adc Ev,Iz lock
81 /3 sbb Ev,Iz lock
81 /4 and Ev,Iz lock
81 /5 sub Ev,Iz lock
81 /6 xor Ev,Iz lock
81 /7 cmp Ev,Iz
82 /0 add Eb,Ib lock i64
82 /1 or Eb,Ib lock i64
82 /2 adc Eb,Ib lock i64
82 /3 sbb Eb,Ib lock i64
82 /4 and Eb,Ib lock i64
82 /5 sub Eb,Ib lock i64
82 /6 xor Eb,Ib lock i64
82 /7 cmp Eb,Ib i64
83 /0 add Ev,Ibs lock
83 /1 or Ev,Ibs lock
83 /2 adc Ev,Ibs lock
83 /3 sbb Ev,Ibs lock
83 /4 and Ev,Ibs lock
83 /5 sub Ev,Ibs lock
83 /6 xor Ev,Ibs lock
83 /7 cmp Ev,Ibs
84 test Eb,Gb
85 test Ev,Gv
86 xchg Eb,Gb lock
87 xchg Ev,Gv lock
88 mov Eb,Gb
89 mov Ev,Gv
8a mov Gb,Eb
8b mov Gv,Ev
8c mov_seg Rv/Mw,Sw
8d lea Gv,M
8e mov_seg Sw,Ew
8f /0 pop Ev d64
90 nop
f3 90 pause
90+r xchg Zv,rAX
98 cbw
99 cwd
9a callf Ap i64
9b fwait
9c pushf d64
9d popf d64
9e sahf
9f lahf
a0 mov AL,Ob
a1 mov rAX,Ov
a2 mov Ob,AL
a3 mov Ov,rAX
a4 movs Yb,Xb
a5 movs Yv,Xv
a6 cmps Xb,Yb
a7 cmps Xv,Yv
a8 test AL,Ib
a9 test rAX,Iz
aa stos Yb,AL
ab stos Yv,rAX
ac lods AL,Xb
ad lods rAX,Xv
ae scas AL,Yb
af scas rAX,Yv
b0+r mov Zb,Ib
b8+r mov Zv,Iv
c0 /0 rol Eb,Ib
c0 /1 ror Eb,Ib
c0 /2 rcl Eb,Ib
c0 /3 rcr Eb,Ib
c0 /4 shl Eb,Ib
c0 /5 shr Eb,Ib
c0 /6 shl Eb,Ib
c0 /7 sar Eb,Ib
c1 /0 rol Ev,Ib
c1 /1 ror Ev,Ib
c1 /2 rcl Ev,Ib
c1 /3 rcr Ev,Ib
c1 /4 shl Ev,Ib
c1 /5 shr Ev,Ib
c1 /6 shl Ev,Ib
c1 /7 sar Ev,Ib
c2 ret Iw f64
c3 ret f64
c4 les Gv,Mp i64
c5 lds Gv,Mp i64
c6 /0 mov Eb,Ib
c7 /0 mov Ev,Iz
c8 enter Iw,Ib d64
c9 leave d64
ca retf Iw
cb retf
cc int3
cd int Ib
ce into i64
cf iret
d0 /0 rol Eb,1
d0 /1 ror Eb,1
d0 /2 rcl Eb,1
d0 /3 rcr Eb,1
d0 /4 shl Eb,1
d0 /5 shr Eb,1
d0 /6 shl Eb,1
d0 /7 sar Eb,1
d1 /0 rol Ev,1
d1 /1 ror Ev,1
d1 /2 rcl Ev,1
d1 /3 rcr Ev,1
d1 /4 shl Ev,1
d1 /5 shr Ev,1
d1 /6 shl Ev,1
d1 /7 sar Ev,1
d2 /0 rol Eb,CL
d2 /1 ror Eb,CL
d2 /2 rcl Eb,CL
d2 /3 rcr Eb,CL
d2 /4 shl Eb,CL
d2 /5 shr Eb,CL
d2 /6 shl Eb,CL
d2 /7 sar Eb,CL
d3 /0 rol Ev,CL
d3 /1 ror Ev,CL
d3 /2 rcl Ev,CL
d3 /3 rcr Ev,CL
d3 /4 shl Ev,CL
d3 /5 shr Ev,CL
d3 /6 shl Ev,CL
d3 /7 sar Ev,CL
d4 aam Ib i64
d5 aad Ib i64
d6 salc i64
d7 xlat
e0 loopne Jb f64
e1 loope Jb f64
e2 loop Jb f64
e3 jcxz Jb f64
e4 in AL,Ib
e5 in eAX,Ib
e6 out Ib,AL
e7 out Ib,eAX
e8 call Jz f64
e9 jmp Jz f64
ea jmpf Ap i64
eb jmp Jb f64
ec in AL,DX
ed in eAX,DX
ee out DX,AL
ef out DX,eAX
f1 int1
f4 hlt
f5 cmc
f6 /0 test Eb,Ib
f6 /1 test Eb,Ib
f6 /2 not Eb lock
f6 /3 neg Eb lock
f6 /4 mul Eb
f6 /5 imul Eb
f6 /6 div Eb
f6 /7 idiv Eb
f7 /0 test Ev,Iz
f7 /1 test Ev,Iz
f7 /2 not Ev lock
f7 /3 neg Ev lock
f7 /4 mul Ev
f7 /5 imul Ev
f7 /6 div Ev
f7 /7 idiv Ev
f8 clc
f9 stc
fa cli
fb sti
fc cld
fd std
fe /0 inc Eb lock
fe /1 dec Eb lock
ff /0 inc Ev lock
ff /1 dec Ev lock
ff /2 call Ev f64
ff /3 callf Mp
ff /4 jmp Ev f64
ff /5 jmpf Mp
ff /6 push Ev d64
`;
