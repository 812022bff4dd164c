/** A program in C that runs a guest with one processor as the benchmark left it: registers, then RAM. It prints nanoseconds an access. */
export const KVM_LOOP = String.raw`
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define RAM_BYTES (2 << 20)
static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}
static void fail(const char *what) { perror(what); exit(1); }

static int calls(int kvm, long count) {
  double begin = now();
  for (long i = 0; i < count; i++) ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT);
  printf("%f\n", (now() - begin) / count);
  return 0;
}

int main(int argc, char **argv) {
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0 || argc != 3) fail("/dev/kvm");
  long count = atol(argv[2]);
  if (strcmp(argv[1], "calls") == 0) return calls(kvm, count);
  struct kvm_regs regs;
  struct kvm_sregs sregs;
  uint8_t *ram = mmap(0, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  FILE *file = fopen(argv[1], "rb");
  if (!file || fread(&regs, sizeof regs, 1, file) != 1 || fread(&sregs, sizeof sregs, 1, file) != 1 || fread(ram, RAM_BYTES, 1, file) != 1) fail(argv[1]);
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  struct kvm_userspace_memory_region region = {.memory_size = RAM_BYTES, .userspace_addr = (uint64_t)ram};
  if (vm < 0 || ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) fail("the machine");
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + 256 * sizeof(struct kvm_cpuid_entry2));
  cpuid->nent = 256;
  if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 || ioctl(vcpu, KVM_SET_CPUID2, cpuid) < 0) fail("CPUID");
  if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0) fail("registers");
  uint32_t answers = 0;
  double begin = now();
  for (;;) {
    if (ioctl(vcpu, KVM_RUN, 0) < 0) fail("KVM_RUN");
    if (run->exit_reason == KVM_EXIT_IO) {
      uint32_t *data = (uint32_t *)((uint8_t *)run + run->io.data_offset);
      if (run->io.direction == KVM_EXIT_IO_OUT) answers = *data;
      else *data = ++answers;
    } else if (run->exit_reason == KVM_EXIT_MMIO) {
      if (run->mmio.is_write) memcpy(&answers, run->mmio.data, 4);
      else { answers++; memcpy(run->mmio.data, &answers, 4); }
    } else if (run->exit_reason == KVM_EXIT_HLT) break;
    else { fprintf(stderr, "exit %u\n", run->exit_reason); return 1; }
  }
  printf("%f\n", (now() - begin) / count);
  return 0;
}
`;
