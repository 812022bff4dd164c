/** The x87 escape opcodes D8 to DF (SDM vol. 2, appendix A.5, tables ), with the undocumented aliases that processors run. */
export const X87_ROWS = `
d8 /0 mem fadd ST0,Md
d8 /1 mem fmul ST0,Md
d8 /2 mem fcom ST0,Md
d8 /3 mem fcomp ST0,Md
d8 /4 mem fsub ST0,Md
d8 /5 mem fsubr ST0,Md
d8 /6 mem fdiv ST0,Md
d8 /7 mem fdivr ST0,Md
d8 /0 mod3 fadd ST0,STi
d8 /1 mod3 fmul ST0,STi
d8 /2 mod3 fcom ST0,STi
d8 /3 mod3 fcomp ST0,STi
d8 /4 mod3 fsub ST0,STi
d8 /5 mod3 fsubr ST0,STi
d8 /6 mod3 fdiv ST0,STi
d8 /7 mod3 fdivr ST0,STi
d9 /0 mem fld Md
d9 /2 mem fst Md
d9 /3 mem fstp Md
d9 /4 mem fldenv Me
d9 /5 mem fldcw Mw
d9 /6 mem fnstenv Me
d9 /7 mem fnstcw Mw
d9 /0 mod3 fld STi
d9 /1 mod3 fxch STi
d9 d0 fnop
d9 /3 mod3 fstpnce STi
d9 e0 fchs
d9 e1 fabs
d9 e4 ftst
d9 e5 fxam
d9 e8 fld1
d9 e9 fldl2t
d9 ea fldl2e
d9 eb fldpi
d9 ec fldlg2
d9 ed fldln2
d9 ee fldz
d9 f0 f2xm1
d9 f1 fyl2x
d9 f2 fptan
d9 f3 fpatan
d9 f4 fxtract
d9 f5 fprem1
d9 f6 fdecstp
d9 f7 fincstp
d9 f8 fprem
d9 f9 fyl2xp1
d9 fa fsqrt
d9 fb fsincos
d9 fc frndint
d9 fd fscale
d9 fe fsin
d9 ff fcos
da /0 mem fiadd ST0,Md
da /1 mem fimul ST0,Md
da /2 mem ficom ST0,Md
da /3 mem ficomp ST0,Md
da /4 mem fisub ST0,Md
da /5 mem fisubr ST0,Md
da /6 mem fidiv ST0,Md
da /7 mem fidivr ST0,Md
da /0 mod3 fcmov ST0,STi cc=2
da /1 mod3 fcmov ST0,STi cc=4
da /2 mod3 fcmov ST0,STi cc=6
da /3 mod3 fcmov ST0,STi cc=10
da e9 fucompp
db /0 mem fild Md
db /1 mem fisttp Md
db /2 mem fist Md
db /3 mem fistp Md
db /5 mem fld Mt
db /7 mem fstp Mt
db /0 mod3 fcmov ST0,STi cc=3
db /1 mod3 fcmov ST0,STi cc=5
db /2 mod3 fcmov ST0,STi cc=7
db /3 mod3 fcmov ST0,STi cc=11
db e0 fneni
db e1 fndisi
db e2 fnclex
db e3 fninit
db e4 fnsetpm
db /5 mod3 fucomi ST0,STi
db /6 mod3 fcomi ST0,STi
dc /0 mem fadd ST0,Mq
dc /1 mem fmul ST0,Mq
dc /2 mem fcom ST0,Mq
dc /3 mem fcomp ST0,Mq
dc /4 mem fsub ST0,Mq
dc /5 mem fsubr ST0,Mq
dc /6 mem fdiv ST0,Mq
dc /7 mem fdivr ST0,Mq
dc /0 mod3 fadd STi,ST0
dc /1 mod3 fmul STi,ST0
dc /2 mod3 fcom ST0,STi
dc /3 mod3 fcomp ST0,STi
dc /4 mod3 fsubr STi,ST0
dc /5 mod3 fsub STi,ST0
dc /6 mod3 fdivr STi,ST0
dc /7 mod3 fdiv STi,ST0
dd /0 mem fld Mq
dd /1 mem fisttp Mq
dd /2 mem fst Mq
dd /3 mem fstp Mq
dd /4 mem frstor Mf
dd /6 mem fnsave Mf
dd /7 mem fnstsw Mw
dd /0 mod3 ffree STi
dd /1 mod3 fxch STi
dd /2 mod3 fst STi
dd /3 mod3 fstp STi
dd /4 mod3 fucom ST0,STi
dd /5 mod3 fucomp ST0,STi
de /0 mem fiadd ST0,Mw
de /1 mem fimul ST0,Mw
de /2 mem ficom ST0,Mw
de /3 mem ficomp ST0,Mw
de /4 mem fisub ST0,Mw
de /5 mem fisubr ST0,Mw
de /6 mem fidiv ST0,Mw
de /7 mem fidivr ST0,Mw
de /0 mod3 faddp STi,ST0
de /1 mod3 fmulp STi,ST0
de /2 mod3 fcomp ST0,STi
de d9 fcompp
de /4 mod3 fsubrp STi,ST0
de /5 mod3 fsubp STi,ST0
de /6 mod3 fdivrp STi,ST0
de /7 mod3 fdivp STi,ST0
df /0 mem fild Mw
df /1 mem fisttp Mw
df /2 mem fist Mw
df /3 mem fistp Mw
df /4 mem fbld Mt
df /5 mem fild Mq
df /6 mem fbstp Mt
df /7 mem fistp Mq
df /0 mod3 ffreep STi
df /1 mod3 fxch STi
df /2 mod3 fstp STi
df /3 mod3 fstp STi
df e0 fnstsw AX
df /5 mod3 fucomip ST0,STi
df /6 mod3 fcomip ST0,STi
`;
