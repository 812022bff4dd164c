/* The synthetic interrupt controller of a hypervisor: sources, messages, event flags, timers, calls and ends of interrupts. */
#include "bare.h"
#include "interrupts.h"
#include "synthetic.h"

#define VECTOR 0xb0
#define AUTOMATIC(source) ((source) == 3 || (source) == 8 || (source) == 10 || (source) == 14)

static volatile u32 faults, came[256], in_service_too, not_in_service;

static int in_service(u32 vector) { return *apic(0x100 + (vector >> 5) * 16) >> (vector & 31) & 1; }
HANDLER on_fault(struct frame *frame, word code) { faults += code == 0 ? 1 : 100; frame->ip += 2; }
/* Says which source it was by its vector, and ends what does not end itself. */
static void came_from(u32 source)
{
	u32 vector = VECTOR + source;
	came[vector]++;
	if (in_service(vector)) { if (AUTOMATIC(source)) in_service_too++; *apic(0xb0) = 0; }
	else if (!AUTOMATIC(source)) not_in_service++;
}
#define SOURCE(n) HANDLER on_source##n(struct frame *frame) { (void)frame; came_from(n); }
SOURCE(0) SOURCE(1) SOURCE(2) SOURCE(3) SOURCE(4) SOURCE(5) SOURCE(6) SOURCE(7) SOURCE(8) SOURCE(9) SOURCE(10) SOURCE(11) SOURCE(12) SOURCE(13) SOURCE(14) SOURCE(15)
static volatile u32 ticks, offers;
HANDLER on_timer(struct frame *frame) { (void)frame; ticks++; *apic(0xb0) = 0; }
/* As guests do that know of the assist page. */
HANDLER on_lazy(struct frame *frame)
{
	(void)frame;
	u32 offer = 0;
	came[0x70]++;
	__asm__ volatile("xchgl %0, %1" : "+r"(offer), "+m"(*(volatile u32 *)assist_page) : : "memory");
	if (offer & 1) offers++;
	else *apic(0xb0) = 0;
}

static int read_faults(u32 index) { faults = 0; read_msr(index); return faults == 1; }
static int write_faults(u32 index, u64 value) { faults = 0; write_msr(index, value); return faults == 1; }
static void nops(void) { for (int i = 0; i < 200; i++) __asm__ volatile("pause" : : : "memory"); }
static void check_discovery(void)
{
	check("a hypervisor", cpuid(1, 2) >> 31 && cpuid(0x40000000, 0) >= 0x40000005 && cpuid(0x40000000, 1) == 0x7263694d && cpuid(0x40000001, 0) == 0x31237648);
	check("with its privileges", (cpuid(0x40000003, 0) & 0x27e) == 0x27e && (cpuid(0x40000003, 1) & 0x30) == 0x30 && cpuid(0x40000003, 3) & 1 << 19);
	check("and nothing else", !cpuid(0x40000081, 0) && !cpuid(0x4000000a, 0) && !cpuid(0x40000100, 0) && !cpuid(0x40000082, 0));
}
static void check_registers(void)
{
	int fine = read_msr(SVERSION) == 1 && write_faults(SVERSION, 1) && read_msr(EOM) == 0 && read_msr(VP_INDEX) == 0 && write_faults(VP_INDEX, 0);
	for (u32 i = 0; i < 16; i++) fine &= read_msr(SINT + i) == MASKED && write_faults(SINT + i, 0xf) && write_faults(SINT + i, 1ull << 32);
	write_msr(SINT + 5, MASKED);
	fine &= read_msr(SINT + 5) == MASKED && write_faults(TIME, 0) && read_faults(SYNTHETIC_EOI) && write_faults(SYNTHETIC_TPR, 0x100) && read_faults(0x40000055);
	check("registers", fine);
	write_msr(SYNTHETIC_TPR, 0x35);
	fine = *apic(0x80) == 0x35 && *apic(0xa0) == 0x35;
	write_msr(SYNTHETIC_TPR, 0);
	write_msr(HYPERCALL, (word)call_page | 1);
	check("no calls from nobody", fine && !(read_msr(HYPERCALL) & 1) && call_page[0] == 0);
	write_msr(GUEST_OS, 0x8100000000000001ull);
	write_msr(HYPERCALL, (word)call_page | 1);
	check("the page of calls", (read_msr(HYPERCALL) & 1) && call_page[0] == 0x0f && call_page[3] == 0xc3);
}
static void check_calls(void)
{
	check("a call that there is not", call(0x7fff, 0) == 2);
	check("reserved bits", call(0x1005d | 1ull << 27, 0) == 3 && call(0x1005d | 1ull << 60, 0) == 3 && call(0x1005d | 1ull << 32, 0) == 3);
	check("connections that there are not", signal(1234, 0) == 0x12 && post(1234, 1, 0) == 0x12);
	check("messages that are none", post(1, 0, 0) == 5 && post(1, 0x80000001, 0) == 5 && call(0x5c, (word)input + 4) == 4);
}
static void check_sources(void)
{
	write_msr(SCONTROL, 1);
	for (u32 i = 0; i < 16; i++) write_msr(SINT + i, (VECTOR + i) | (AUTOMATIC(i) ? AUTO_EOI : 0));
	for (u32 i = 0; i < 16; i++) { control(ROUTE, i, 0); control(RAISE, i, 0); nops(); }
	u32 sum = 0;
	for (u32 i = 0; i < 16; i++) sum += came[VECTOR + i] == 1;
	check("each source comes once", sum == 16);
	check("automatic ones are never in service", in_service_too == 0 && not_in_service == 0 && *apic(0xa0) == 0);
	/* With interrupts off several of one class wait; those that end themselves hold nobody up. */
	__asm__ volatile("cli");
	for (u32 i = 0; i < 16; i++) control(RAISE, i, 0);
	__asm__ volatile("sti");
	nops();
	for (u32 i = sum = 0; i < 16; i++) sum += came[VECTOR + i] == 2;
	check("all at once", sum == 16);
	write_msr(SINT + 7, MASKED | (VECTOR + 7));
	control(RAISE, 7, 0);
	nops();
	check("not when masked", came[VECTOR + 7] == 2);
	write_msr(SINT + 7, VECTOR + 7);
}
static void check_messages(u32 source)
{
	u32 vector = VECTOR + source, before = came[vector];
	control(MESSAGES, source, 7);
	write_msr(SIMP, 0);
	check("no page of messages", post(7, 1, 0) == 0x18);
	write_msr(SIMP, (word)message_page | 1);
	int fine = post(7, 5, 0xa1) == 0;
	nops();
	fine &= came[vector] == before + 1 && slot(source)[0] == 5 && (slot(source)[1] & 0xff) == 16 && slot(source)[4] == 0xa1 && !pending(source);
	check("a message", fine);
	fine = post(7, 6, 0xa2) == 0 && pending(source) && post(7, 7, 0xa3) == 0;
	nops();
	check("waits while the slot is full", fine && came[vector] == before + 1 && slot(source)[0] == 5);
	slot(source)[0] = 0;
	write_msr(EOM, 0);
	nops();
	check("comes by EOM, with more behind it", came[vector] == before + 2 && slot(source)[0] == 6 && slot(source)[4] == 0xa2 && pending(source));
	slot(source)[0] = 0;
	write_msr(EOM, 0);
	nops();
	check("the last has none", came[vector] == before + 3 && slot(source)[0] == 7 && !pending(source));
	fine = 1;
	for (u32 i = 0; i < 16; i++) fine &= post(7, 8 + i, i) == 0;
	check("16 wait, and no more", fine && post(7, 99, 0) == 0x13);
	slot(source)[0] = 0;
	for (u32 i = 0; i < 16; i++) {
		write_msr(EOM, 0);
		fine &= slot(source)[0] == 8 + i && pending(source) == (i < 15);
		slot(source)[0] = 0;
	}
	nops();
	check("in order", fine && came[vector] == before + 19);
	control(NO_MESSAGES, source, 7);
	check("until it is disconnected", post(7, 1, 0) == 0x12);
}
static void check_events(u32 source)
{
	u32 vector = VECTOR + source, before = came[vector];
	volatile u32 *flags = (volatile u32 *)(event_page + source * 256);
	control(EVENTS, source, 40);
	write_msr(SIEFP, 0);
	check("no page of flags", signal(40, 0) == 0x18);
	write_msr(SIEFP, (word)event_page | 1);
	int fine = signal(40, 0) == 0;
	nops();
	check("an event", fine && flags[1] == 1 << 8 && came[vector] == before + 1);
	fine = signal(40, 0) == 0;
	nops();
	check("that is set already interrupts nobody", fine && came[vector] == before + 1 && signal(40, 1) == 5);
	flags[1] = 0;
	signal(40, 0);
	nops();
	check("and again when it was cleared", came[vector] == before + 2);
	flags[1] = 0;
	control(NO_EVENTS, source, 40);
}
static void check_timers(void)
{
	u64 begin = read_msr(TIME);
	ticks = 0;
	write_msr(TIMER + 1, read_msr(TIME) + 1000);
	write_msr(TIMER, 1 | 1 << 12 | 0x71 << 4);
	u64 due = read_msr(TIMER + 1);
	while (!ticks);
	check("a timer of its own vector", read_msr(TIME) >= due && ticks == 1 && !(read_msr(TIMER) & 1));
	ticks = 0;
	write_msr(TIMER, 3 | 1 << 12 | 0x71 << 4);
	write_msr(TIMER + 1, 2000);
	begin = read_msr(TIME);
	write_msr(TIMER, 3 | 1 << 12 | 0x71 << 4);
	while (ticks < 20);
	u64 took = read_msr(TIME) - begin;
	write_msr(TIMER, 0);
	check("a periodic one", took >= 39000 && took < 60000);
	/* By messages: a full slot delays it, and does not lose it. */
	u32 before = came[VECTOR + 4];
	slot(4)[0] = 1;
	write_msr(TIMER + 3, read_msr(TIME) + 1000);
	write_msr(TIMER + 2, 1 | 4 << 16);
	for (due = read_msr(TIME) + 3000; read_msr(TIME) < due;);
	check("a message that finds its slot full", came[VECTOR + 4] == before && pending(4) && (read_msr(TIMER + 2) & 1));
	slot(4)[0] = 0;
	write_msr(EOM, 0);
	nops();
	check("comes later", came[VECTOR + 4] == before + 1 && slot(4)[0] == 0x80000010 && slot(4)[4] == 1 && !(read_msr(TIMER + 2) & 1));
	slot(4)[0] = 0;
	write_msr(TIMER + 2, 1);
	check("no timer without a source", !(read_msr(TIMER + 2) & 1) && write_faults(TIMER, 1ull << 20));
	write_msr(TSC_PAGE, (word)time_page | 1);
	volatile u32 *page = (volatile u32 *)time_page;
	int fine = page[0] != 0 && page[0] != ~0u && read_msr(TSC_HZ) > 10000000;
#ifdef LONG
	for (int i = 0; i < 100; i++) {
		u64 times[2], now;
		for (int which = 0; which < 2; which++) {
			u32 low, high;
			__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
			u64 upper, scale = *(volatile u64 *)(time_page + 8), tsc = (u64)high << 32 | low;
			__asm__("mulq %3" : "=d"(upper), "+a"(tsc) : "0"(0), "r"(scale) : "cc");
			times[which] = upper + *(volatile u64 *)(time_page + 16);
			if (which == 0) now = read_msr(TIME);
		}
		fine &= times[0] <= now && now <= times[1];
	}
#endif
	check("the page of time and its register agree", fine);
}
static void check_lazy_ends(void)
{
	write_msr(ASSIST, (word)assist_page | 1);
	set_gate(0x70, on_lazy);
	for (int i = 0; i < 10; i++) { *apic(0x300) = 0x44070; nops(); }
	check("ends without an exit", came[0x70] == 10 && offers == 10 && *apic(0xa0) == 0 && !in_service(0x70));
	/* Something waits below: the end has to be heard of. */
	u32 before = offers;
	__asm__ volatile("cli");
	*apic(0x300) = 0x44070;
	*apic(0x300) = 0x44000 | VECTOR;
	__asm__ volatile("sti");
	nops();
	check("unless something waits", came[0x70] == 11 && offers - before <= 1 && came[VECTOR] >= 3 && *apic(0xa0) == 0);
	write_msr(ASSIST, 0);
	before = offers;
	*apic(0x300) = 0x44070;
	nops();
	check("or there is no page", came[0x70] == 12 && offers == before);
}

int main(void)
{
	struct __attribute__((packed)) { u16 limit; word base; } pointer = { sizeof gates - 1, (word)gates };
	void *const sources[] = { on_source0, on_source1, on_source2, on_source3, on_source4, on_source5, on_source6, on_source7, on_source8, on_source9, on_source10, on_source11, on_source12, on_source13, on_source14, on_source15 };
	set_gate(13, on_fault);
	set_gate(0x71, on_timer);
	for (u32 i = 0; i < 16; i++) set_gate(VECTOR + i, sources[i]);
	__asm__ volatile("lidt %0" : : "m"(pointer));
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	*apic(0xf0) = 0x1ff;
	__asm__ volatile("sti");
	check_discovery();
	check_registers();
	check_calls();
	check_sources();
	check_messages(3);
	check_messages(4);
	check_events(5);
	check_events(8);
	check_timers();
	check_lazy_ends();
	return summary();
}
