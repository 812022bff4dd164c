/* reads and writes of a disk past the page cache: diskio DEVICE TEST SCALE, TEST being {seq,rand,many}{read,write};
 * seq is 1 MiB after 1 MiB, rand is 4 KiB anywhere, many is rand from eight processes at once */
#include "common.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <linux/fs.h>
#define MANY 8
static void fail(const char*what){ perror(what); exit(1); }
static void go(const char*device,int writing,size_t bytes,long count,int random,uint32_t seed){
  int fd=open(device,O_RDWR|O_DIRECT); if(fd<0) fail(device);
  uint64_t size; if(ioctl(fd,BLKGETSIZE64,&size)) fail("BLKGETSIZE64");
  void*buffer; if(posix_memalign(&buffer,4096,bytes)) fail("posix_memalign"); memset(buffer,0x5a,bytes);
  uint64_t places=size/bytes, state=seed;
  for(long i=0;i<count;i++){ state=state*6364136223846793005ull+1442695040888963407ull;
    off_t at=(off_t)((random?(state>>33)%places:i%places)*bytes);
    ssize_t done=writing?pwrite(fd,buffer,bytes,at):pread(fd,buffer,bytes,at); if(done!=(ssize_t)bytes) fail("transfer"); }
  if(writing&&fsync(fd)) fail("fsync"); close(fd); }
int main(int argc,char**argv){ if(argc<4) return 2;
  const char*test=argv[2]; double scale=atof(argv[3]); int writing=strstr(test,"write")!=NULL, many=!strncmp(test,"many",4), random=strncmp(test,"seq",3)!=0;
  size_t bytes=random?4096:1<<20; long count=(long)((random?2000:128)*scale); if(count<MANY) count=MANY; count-=count%MANY;
  uint64_t t0=now_ns();
  if(!many) go(argv[1],writing,bytes,count,random,7);
  else { for(int i=0;i<MANY;i++) if(fork()==0){ go(argv[1],writing,bytes,count/MANY,1,i+1); _exit(0); }
    for(int i=0;i<MANY;i++){ int status; wait(&status); if(status) return 1; } }
  report(test,(uint64_t)count*bytes,now_ns()-t0,0); return 0; }
