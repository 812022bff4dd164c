/** The two-byte opcode map, integer and system part (SDM vol. 2, appendix A.3, tables ). */
export const TWO_BYTE_ROWS = `
0f 00 /0 sldt Rv/Mw
0f 00 /1 str Rv/Mw
0f 00 /2 lldt Ew
0f 00 /3 ltr Ew
0f 00 /4 verr Ew
0f 00 /5 verw Ew
0f 01 /0 mem sgdt Ms f64
0f 01 /1 mem sidt Ms f64
0f 01 /2 mem lgdt Ms f64
0f 01 /3 mem lidt Ms f64
0f 01 /4 smsw Rv/Mw
0f 01 /6 lmsw Ew
0f 01 /7 mem invlpg Mb
0f 01 c1 vmcall
0f 01 c8 monitor
0f 01 c9 mwait
np 0f 01 ca clac
np 0f 01 cb stac
np 0f 01 d0 xgetbv
np 0f 01 d1 xsetbv
0f 01 d9 vmmcall
0f 01 f8 swapgs o64
0f 01 f9 rdtscp
0f 02 lar Gv,Rv/Mw
0f 03 lsl Gv,Rv/Mw
0f 05 syscall
0f 06 clts
0f 07 sysret
0f 08 invd
0f 09 wbinvd
0f 0b ud2
0f 0d mem prefetchw Mb
0f 0d mod3 nop Ev
0f 18 mod3 nop Ev
0f 18 /0 mem prefetchnta Mb
0f 18 /1 mem prefetcht0 Mb
0f 18 /2 mem prefetcht1 Mb
0f 18 /3 mem prefetcht2 Mb
0f 18 /4 mem nop Mv
0f 18 /5 mem nop Mv
0f 18 /6 mem nop Mv
0f 18 /7 mem nop Mv
0f 19 nop Ev
0f 1a nop Ev
0f 1b nop Ev
0f 1c nop Ev
0f 1d nop Ev
0f 1e nop Ev
f3 0f 1e fa endbr64
f3 0f 1e fb endbr32
0f 1f nop Ev
0f 20 mov_cr Rn,Cn reg
0f 21 mov_dr Rn,Dn reg
0f 22 mov_cr Cn,Rn reg
0f 23 mov_dr Dn,Rn reg
0f 30 wrmsr
0f 31 rdtsc
0f 32 rdmsr
0f 33 rdpmc
0f 34 sysenter
0f 35 sysexit
0f 40+cc cmovcc Gv,Ev
0f 80+cc jcc Jz f64
0f 90+cc setcc Eb
0f a0 push_seg FS d64
0f a1 pop_seg FS d64
0f a2 cpuid
0f a3 bt Ev,Gv
0f a4 shld Ev,Gv,Ib
0f a5 shld Ev,Gv,CL
0f a8 push_seg GS d64
0f a9 pop_seg GS d64
0f aa rsm
0f ab bts Ev,Gv lock
0f ac shrd Ev,Gv,Ib
0f ad shrd Ev,Gv,CL
np 0f ae /0 mem fxsave Mfx
np 0f ae /1 mem fxrstor Mfx
np 0f ae /2 mem ldmxcsr Md
np 0f ae /3 mem stmxcsr Md
np 0f ae /4 mem xsave M
np 0f ae /5 mem xrstor M
np 0f ae /6 mem xsaveopt M
np 0f ae /7 mem clflush Mb
np 0f ae /5 mod3 lfence
np 0f ae /6 mod3 mfence
np 0f ae /7 mod3 sfence
66 0f ae /6 mem clwb Mb
66 0f ae /7 mem clflushopt Mb
f3 0f ae /0 mod3 rdfsbase Ry o64
f3 0f ae /1 mod3 rdgsbase Ry o64
f3 0f ae /2 mod3 wrfsbase Ry o64
f3 0f ae /3 mod3 wrgsbase Ry o64
0f af imul Gv,Ev
0f b0 cmpxchg Eb,Gb lock
0f b1 cmpxchg Ev,Gv lock
0f b2 lss Gv,Mp
0f b3 btr Ev,Gv lock
0f b4 lfs Gv,Mp
0f b5 lgs Gv,Mp
0f b6 movzx Gv,Eb
0f b7 movzx Gv,Ew
f3 0f b8 popcnt Gv,Ev
0f b9 ud1 Gv,Ev
0f ba /4 bt Ev,Ib
0f ba /5 bts Ev,Ib lock
0f ba /6 btr Ev,Ib lock
0f ba /7 btc Ev,Ib lock
0f bb btc Ev,Gv lock
0f bc bsf Gv,Ev
f3 0f bc tzcnt Gv,Ev
0f bd bsr Gv,Ev
f3 0f bd lzcnt Gv,Ev
0f be movsx Gv,Eb
0f bf movsx Gv,Ew
0f c0 xadd Eb,Gb lock
0f c1 xadd Ev,Gv lock
np 0f c3 movnti My,Gy
0f c7 /1 mem cmpxchg8b Myy lock
nfx 0f c7 /6 mod3 rdrand Rv
nfx 0f c7 /7 mod3 rdseed Rv
f3 0f c7 /7 mod3 rdpid Rn
0f c8+r bswap Zv
0f ff ud0 Gv,Ev
`;
