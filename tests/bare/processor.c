/* Registers and interrupts of the processor, asked as programs do that test hypervisors. */
#include "bare.h"
#include "interrupts.h"

#define OTHER_APIC 0xfed40000u
#define ENABLE (1u << 11)
#define X2APIC (1u << 10)

static volatile u32 faults, ticks, self, nmis;

/* What faults here is RDMSR or WRMSR. */
HANDLER on_fault(struct frame *frame, word code) { faults += code == 0 ? 1 : 100; frame->ip += 2; }
HANDLER on_tick(struct frame *frame) { (void)frame; ticks++; *apic(0xb0) = 0; }
HANDLER on_self(struct frame *frame) { (void)frame; self++; *apic(0xb0) = 0; }
HANDLER on_nmi(struct frame *frame)
{
	(void)frame;
	if (++nmis == 1) for (int i = 0; i < 10; i++) *apic(0x300) = 0x400;
}

static u64 read_tsc(void)
{
	u32 low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}
static int read_faults(u32 index) { faults = 0; read_msr(index); return faults == 1; }
static int write_faults(u32 index, u64 value) { faults = 0; write_msr(index, value); return faults == 1; }
static int keeps(u32 index, u64 value)
{
	u64 before = read_msr(index);
	faults = 0;
	write_msr(index, value);
	u64 after = read_msr(index);
	write_msr(index, before);
	return after == value && faults == 0;
}

static void check_registers(void)
{
	static const u64 address = 0x123456789abcull, nowhere = 0xaaaaaaaaaaaaaaaaull;
	static const struct { u32 index; u64 value; } kept[] = {
		{0x174, 0x1234}, {0x175, 0x123456789abcull}, {0x176, 0x123456789abcull}, {0x1a0, 0x400c50809ull}, {0x277, 0x07070707}, {0x277, 0x0007010600070106ull},
		{0xc0000081, 0x1020304050607080ull}, {0xc0000084, 0xffffffff}, {0xc0000103, 0x100}, {0x200, 0x80000006}, {0x201, 0xff80000800ull}, {0x2ff, 0xc00},
	};
	int fine = 1;
	for (u32 i = 0; i < sizeof kept / sizeof *kept; i++) if (!keeps(kept[i].index, kept[i].value)) { fine = 0; print_hex(kept[i].index); print(" is not kept\n"); }
	check("registers keep what is written", fine);
	static const u32 addresses[] = {0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102};
	fine = 1;
	for (u32 i = 0; i < sizeof addresses / sizeof *addresses; i++) fine &= keeps(addresses[i], address) && write_faults(addresses[i], nowhere);
	check("registers of addresses take no others", fine);
	fine = keeps(0xc0000080, read_msr(0xc0000080) | 1) && write_faults(0xc0000080, read_msr(0xc0000080) | 2);
	check("EFER", fine);
	fine = (read_msr(0x179) & 0xff) == 0 && read_msr(0x17a) == 0;
	for (u32 bank = 0; bank < 32; bank++) for (u32 i = 0; i < 4; i++) fine &= read_faults(0x400 + bank * 4 + i) && write_faults(0x400 + bank * 4 + i, 0);
	check("no bank of machine checks", fine);
	fine = 1;
	static const u32 absent[] = {0x48, 0x49, 0x10a, 0x10b, 0xda0, 0x210, 0x40000000, 0x4b564d00, 0xc0000104, 0xdeadbeef};
	for (u32 i = 0; i < sizeof absent / sizeof *absent; i++) fine &= read_faults(absent[i]) && write_faults(absent[i], 0);
	check("registers that there are not", fine);
	fine = (read_msr(0xfe) & 0xff) == 8 && write_faults(0xfe, 0) && write_faults(0x2ff, 0x1000) && write_faults(0x201, 0x400) && write_faults(0x200, 2);
	faults = 0;
	read_msr(0x8b); read_msr(0xc0010010); read_msr(0xc0010015); read_msr(0xc0011029); write_msr(0xc0010004, 0); write_msr(0xc0010000, 0); write_msr(0x8b, 0);
	check("what monitors and firmware touch", fine && faults == 0);
}

static void check_time(void)
{
	u64 before = read_tsc();
	check("time passes", read_tsc() > before);
	write_msr(0x10, 100000000000ull);
	u64 after = read_tsc();
	write_msr(0x10, 0);
	check("the counter can be set", after >= 100000000000ull && after < 101000000000ull && read_tsc() < 1000000000);
	u32 aux, low, high;
	write_msr(0xc0000103, 10);
	__asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
	check("RDTSCP", aux == 10);
}

/* There and back; registers that only one mode has fault in the other, and no shortcut is taken. */
static int x2apic_mode(u64 base, u32 version)
{
	int fine = read_faults(0x802) && write_faults(0x1b, base & ~(u64)ENABLE | X2APIC);
	write_msr(0x1b, base | X2APIC);
	fine &= read_msr(0x803) == version && *apic(0x30) == ~0u && read_faults(0x80e) && read_faults(0x831) && write_faults(0x802, 0) && write_faults(0x80b, 1);
	fine &= write_faults(0x808, 1ull << 32) && write_faults(0x83f, 0x100) && write_faults(0x830, 1 << 13 | 0xf0) && read_faults(0x83f) && write_faults(0x1b, base);
	fine &= cpuid(0xb, 3) == read_msr(0x802) && read_msr(0x80d) == (1u << (read_msr(0x802) & 15));
	write_msr(0x1b, base & ~(u64)ENABLE);
	fine &= read_faults(0x802) && write_faults(0x1b, base | X2APIC) && !(cpuid(1, 3) & 1 << 9) && *apic(0x30) == ~0u;
	write_msr(0x1b, base);
	*apic(0xf0) = 0x1ff;
	return fine;
}

static void check_base(void)
{
	u64 base = read_msr(0x1b);
	u32 version = *apic(0x30);
	check("APIC base", (base & 0xffffffffffull) == (APIC | ENABLE | 1 << 8) && (version & 0xff) >= 0x10 && (version & 0xff) <= 0x15);
	check("reserved bits of it", write_faults(0x1b, base | 1) && write_faults(0x1b, base | 1ull << (cpuid(0x80000008, 0) & 0xff)) && read_msr(0x1b) == base);
	if (cpuid(1, 2) & 1 << 21) check("x2APIC mode", x2apic_mode(base, version));
	else check("no x2APIC mode", write_faults(0x1b, base | X2APIC) && write_faults(0x1b, ENABLE | X2APIC) && read_faults(0x802));
	write_msr(0x1b, base & ~(u64)ENABLE);
	*apic(0x80) = 0x55;
	check("switched off", !(cpuid(1, 3) & 1 << 9) && *apic(0x30) == ~0u && *apic(0x80) == ~0u);
	write_msr(0x1b, OTHER_APIC | ENABLE | 1 << 8);
	check("moved", *memory32(OTHER_APIC + 0x30) == version && *apic(0x30) == ~0u);
	write_msr(0x1b, base);
	check("and back", cpuid(1, 3) & 1 << 9 && *apic(0x30) == version && *apic(0x80) == 0);
	*apic(0xf0) = 0x1ff;
}

static void check_interrupts(void)
{
	__asm__ volatile("sti");
	*apic(0x320) = 2 << 17 | 0xef;
	ticks = 0;
	write_msr(0x6e0, read_tsc());
	__asm__ volatile("nop");
	check("TSC deadline in the past", ticks == 1 && read_msr(0x6e0) == 0);
	ticks = 0;
	write_msr(0x10, 500000000000ull);
	u64 deadline = read_tsc() + 200000;
	write_msr(0x6e0, deadline);
	u64 waits = read_msr(0x6e0);
	while (ticks == 0 && read_tsc() < deadline + 1000000000);
	check("TSC deadline of a counter that was set", waits == deadline && ticks == 1 && read_tsc() >= deadline);
	write_msr(0x6e0, read_tsc() + 400000000000ull);
	write_msr(0x10, 950000000000ull);
	for (int i = 0; i < 1000 && ticks == 1; i++);
	check("TSC deadline that the counter is set beyond", ticks == 2);
	write_msr(0x10, 0);
	ticks = 0;
	*apic(0x320) = 0xef;
	*apic(0x3e0) = 0xb;
	u64 begin = read_tsc();
	*apic(0x380) = 0x10000;
	while (ticks == 0);
	check("one shot lasts", read_tsc() - begin >= 0x10000 && *apic(0x390) == 0);
	*apic(0x320) = 1 << 16 | 0xef;
	*apic(0x380) = 0x999999;
	*apic(0x320) = 1 << 17 | 1 << 16 | 0xef;
	u32 left = *apic(0x390);
	check("the count goes on in another mode", left > 0 && left <= 0x999999 && *apic(0x380) == 0x999999);
	*apic(0x380) = 0;
	*apic(0x310) = 0;
	*apic(0x300) = 1 << 18 | 0xf1;
	for (int i = 0; i < 1000 && self == 0; i++);
	check("message to itself", self == 1);
	int fine = 1;
	for (int i = 0; i < 100; i++) {
		nmis = 0;
		*apic(0x300) = 0x400;
		for (volatile int k = 0; k < 10; k++);
		fine &= nmis == 2;
	}
	check("of many NMIs during one, one more", fine);
}

int main(u32 magic, u32 at)
{
	(void)magic; (void)at;
	struct { u16 limit; word base; } __attribute__((packed)) table = {sizeof gates - 1, (word)gates};
	__asm__ volatile("lidt %0" : : "m"(table));
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	set_gate(13, on_fault);
	set_gate(2, on_nmi);
	set_gate(0xef, on_tick);
	set_gate(0xf1, on_self);
	check_registers();
	check_time();
	check_base();
	check_interrupts();
	return summary();
}
