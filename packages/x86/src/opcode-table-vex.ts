/** Instructions with a VEX prefix: BMI1 and BMI2 (SDM vol. 2, appendix A.3, tables, the rows marked v). */
export const VEX_ROWS = `
# BMI1
vex np 0f 38 f2 andn Gy,By,Ey l0
vex np 0f 38 f3 /1 blsr By,Ey l0
vex np 0f 38 f3 /2 blsmsk By,Ey l0
vex np 0f 38 f3 /3 blsi By,Ey l0
vex np 0f 38 f7 bextr Gy,Ey,By l0
# BMI2
vex np 0f 38 f5 bzhi Gy,Ey,By l0
vex f3 0f 38 f5 pext Gy,By,Ey l0
vex f2 0f 38 f5 pdep Gy,By,Ey l0
vex f2 0f 38 f6 mulx Gy,By,Ey l0
vex 66 0f 38 f7 shlx Gy,Ey,By l0
vex f3 0f 38 f7 sarx Gy,Ey,By l0
vex f2 0f 38 f7 shrx Gy,Ey,By l0
vex f2 0f 3a f0 rorx Gy,Ey,Ib l0
`;
