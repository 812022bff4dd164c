
import { GUEST_CASES, runGuest, writeGuest, GUEST_FRAMES } from './random-guest.ts';
let bad=0; let tries=0; let first='';
for (let seed=1; seed<=12; seed++) for (const [name,o] of GUEST_CASES) for (const p of [1,3]) { tries++; const r=runGuest({tables:128,...o,frames:GUEST_FRAMES,processors:p,lastStores:p>1}, writeGuest(seed,400,p,seed%2===0)); if(r){bad++; first||=seed+' '+name+': '+r.text;} }
console.log(bad+'/'+tries, first);
