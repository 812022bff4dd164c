/* Handlers, their gates, and the registers that tell of interrupts. `frame` is what the processor has pushed. */
#define APIC 0xfee00000u

typedef unsigned long word;
struct frame { word ip, cs, flags; };
#define HANDLER __attribute__((interrupt, target("general-regs-only"))) static void

static struct { u16 low, selector; u8 zero, type; u16 high;
#ifdef LONG
	u32 top, zeros;
#endif
} gates[256] __attribute__((aligned(16)));

static inline volatile u32 *apic(u32 at) { return memory32(APIC + at); }
static inline void set_gate(u32 vector, void *handler)
{
	word at = (word)handler;
	gates[vector].low = at;
	gates[vector].high = at >> 16;
	gates[vector].selector = 8;
	gates[vector].type = 0x8e;
}
static inline u64 read_msr(u32 index)
{
	u32 low = 0, high = 0;
	__asm__ volatile("rdmsr" : "+a"(low), "+d"(high) : "c"(index) : "memory");
	return (u64)high << 32 | low;
}
static inline void write_msr(u32 index, u64 value) { __asm__ volatile("wrmsr" : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory"); }
static inline u32 cpuid(u32 leaf, int which)
{
	u32 r[4];
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
	return r[which];
}
