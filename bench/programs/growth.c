/* What grows: `growth processes N` sends a token round N processes, each with 16 pages of its own; `growth code M` runs through M MiB of
 * code again and again, function after function of 4 KiB, the same amount of it whatever M is. A third argument scales. */
#include "common.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#define PAGES 16
#define MOST 1024
static void processes(int np,double sc){ static int fd[MOST][2]; static pid_t k[MOST]; struct rlimit l={4*MOST,4*MOST}; setrlimit(RLIMIT_NOFILE,&l);
  int rounds=(int)(20000*sc)/np; if(rounds<4) rounds=4;
  for(int i=0;i<np;i++) if(pipe(fd[i])){perror("pipe");exit(1);}
  unsigned char*ws=malloc(PAGES*4096); memset(ws,1,PAGES*4096);
  for(int i=1;i<np;i++){ k[i]=fork(); if(k[i]<0){perror("fork");exit(1);} if(!k[i]){ uint32_t v; for(int r=0;r<=rounds;r++){ if(read(fd[i][0],&v,4)!=4)_exit(1); for(int p=0;p<PAGES;p++) v+=ws[p*4096+64]++; if(write(fd[(i+1)%np][1],&v,4)!=4)_exit(1);} _exit(0);} }
  uint32_t v=0; uint64_t t0=0;
  /* In the first round each process gets its pages. */
  for(int r=0;r<=rounds;r++){ if(r==1) t0=now_ns(); if(write(fd[1%np][1],&v,4)!=4)exit(1); if(read(fd[0][0],&v,4)!=4)exit(1); }
  char name[32]; snprintf(name,sizeof name,"processes_%d",np); report(name,(uint64_t)rounds*np,now_ns()-t0,v);
  for(int i=1;i<np;i++) waitpid(k[i],0,0); }
static void code(int mib,double sc){ size_t size=(size_t)mib<<20; unsigned char*m=mmap(0,size,PROT_READ|PROT_WRITE|PROT_EXEC,MAP_PRIVATE|MAP_ANONYMOUS,-1,0); if(m==MAP_FAILED){perror("mmap");exit(1);}
  uint32_t s=12345;
  for(size_t f=0;f<size;f+=4096){ unsigned char*p=m+f,*end=p+4096-12; while(p<end){ s=s*1664525u+1013904223u; *p++=0x35; memcpy(p,&s,4); p+=4; /* xor eax, constant */ *p++=0xd1; *p++=0xc0; /* rol eax, 1 */ *p++=0x72; *p++=0x02; /* jc over the next */ *p++=0x01; *p++=0xc8; /* add eax, ecx */ } *p=0xc3; }
  long functions=(long)(size>>12), passes=(long)(131072*sc)/functions; if(passes<1) passes=1;
  uint32_t v=1; uint64_t t0=now_ns();
  for(long r=0;r<passes;r++) for(long f=0;f<functions;f++){ unsigned char*at=m+((size_t)f<<12); asm volatile("call *%1":"+a"(v):"r"(at),"c"((uint32_t)r):"cc","memory"); }
  char name[32]; snprintf(name,sizeof name,"code_%d",mib); report(name,(uint64_t)(passes*functions),now_ns()-t0,v); }
int main(int c,char**v){ if(c<3) return 2; double sc=scale_arg(c-2,v+2); int n=atoi(v[2]); if(n<1||n>MOST) return 2; if(v[1][0]=='p') processes(n<2?2:n,sc); else code(n,sc); return 0; }
