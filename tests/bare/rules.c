/* Who interrupts whom, and when: priorities, errors, destinations, NMI, levels of the I/O APIC and their targets, x2APIC mode with others about. */
#include "bare.h"
#include "interrupts.h"
#include "several.h"

#define IO_APIC 0xfec00000u
#define BASE 0x1b
#define ENABLE (1u << 11)
#define MODEL_MODE (1u << 10)
#define EDGE_PIN 14
#define LEVEL_PIN 11
enum { LDR = 0xd0, DFR = 0xe0, ESR = 0x280, IN_SERVICE = 0x100, TRIGGER = 0x180, REQUESTED = 0x200, PRIORITY = 0xa0, TASK = 0x80, COMMAND = 0x300, COMMAND_TO = 0x310 };

static volatile u32 order[64], came, at_once[MOST], faults, nmis, joins, nmi_depth, nmi_deepest, nmi_at_sti, last_ip, same_ip, triggers, line_low_at, level_done;
static volatile u32 bsp_hits, seen[MOST];
static u8 sti_code[16] __attribute__((aligned(16)));

static u32 bit_of(u32 base, u32 vector) { return *apic(base + (vector >> 5) * 16) >> (vector & 31) & 1; }
static void forget(void) { came = 0; for (u32 i = 0; i < 64; i++) order[i] = 0; for (u32 i = 0; i < MOST; i++) at_once[i] = 0; }
static void little(void) { for (int i = 0; i < 300; i++) relax(); }
static void off(void) { __asm__ volatile("cli" : : : "memory"); }
static void on(void) { __asm__ volatile("sti; nop" : : : "memory"); }
static void to_self(u32 vector) { *apic(COMMAND) = 0x40000 | vector; } /* without the assert bit: an edge needs none */
static void took(u32 vector, u32 ip)
{
	same_ip = ip == last_ip;
	last_ip = ip;
	order[came++ & 63] = vector;
	at_once[id()]++;
	triggers = triggers << 1 | bit_of(TRIGGER, vector);
}
#define TAKES(n) HANDLER on_##n(struct frame *frame) { took(0x##n, frame->ip); *apic(0xb0) = 0; }
TAKES(1f) TAKES(20) TAKES(21) TAKES(31) TAKES(45) TAKES(46) TAKES(77)
/* A level: the line falls at the n-th time. */
HANDLER on_78(struct frame *frame)
{
	took(0x78, frame->ip);
	if (came >= line_low_at) { out8(0x2000 + LEVEL_PIN, 0); level_done = 1; }
	*apic(0xb0) = 0;
}
/* Looks around from inside. */
static volatile u32 inside_priority, inside_service, nested;
HANDLER on_60(struct frame *frame)
{
	took(0x60, frame->ip);
	inside_priority = *apic(PRIORITY);
	inside_service = bit_of(IN_SERVICE, 0x60);
	to_self(0x6f); /* of the same class: later */
	to_self(0x71); /* of a higher one: now */
	on();
	nested = came;
	off();
	*apic(0xb0) = 0;
}
TAKES(6f) TAKES(71)
HANDLER on_nmi(struct frame *frame)
{
	add(&nmis, 1);
	if (id() == 0 && (u32)frame->ip == (u32)(word)(sti_code + 1)) nmi_at_sti++; /* right behind STI */
	if (++nmi_depth > nmi_deepest) nmi_deepest = nmi_depth;
	nmi_depth--;
}
static u32 fault_skips = 2;
HANDLER on_fault(struct frame *frame, word code) { faults += code == 0 ? 1 : 100; frame->ip += fault_skips; }
static int read_faults(u32 index) { faults = 0; read_msr(index); return faults == 1; }
static int write_faults(u32 index, u64 value) { faults = 0; write_msr(index, value); return faults == 1; }
HANDLER on_spurious(struct frame *frame) { (void)frame; add(&bsp_hits, 1); }

static void redirect(u32 pin, u32 low, u32 high)
{
	*memory32(IO_APIC) = 0x11 + pin * 2;
	*memory32(IO_APIC + 0x10) = high << 24;
	*memory32(IO_APIC) = 0x10 + pin * 2;
	*memory32(IO_APIC + 0x10) = low;
}
static u32 entry(u32 pin) { *memory32(IO_APIC) = 0x10 + pin * 2; return *memory32(IO_APIC + 0x10); }
static void line(u32 pin, u32 high) { out8(0x2000 + pin, high); }

static volatile u32 nmi_wanted, nmi_sent, stop_sending, model_mode_others;
void joined(u32 number)
{
	(void)number;
	set_up();
	*apic(LDR) = (1u << id()) << 24;
	add(&joins, 1);
	for (;;) {
		if (nmi_wanted != nmi_sent && id() == 1) { nmi_sent = nmi_wanted; send(0, 0x4400); }
		if (model_mode_others && id() == 1) {
			off();
			write_msr(BASE, read_msr(BASE) | MODEL_MODE);
			seen[1] = (u32)read_msr(0x802) + 100;
			seen[2] = (u32)read_msr(0x80d);
			write_msr(0x830, 0x4045); /* to number 0 */
			on();
			while (model_mode_others == 1) relax();
			off();
			write_msr(BASE, read_msr(BASE) & ~(u64)(MODEL_MODE | ENABLE));
			write_msr(BASE, read_msr(BASE) | ENABLE);
			set_up();
			*apic(LDR) = 2u << 24;
			model_mode_others = 0;
		}
		relax();
	}
}

static void check_priorities(void)
{
	off();
	forget();
	to_self(0x20);
	to_self(0x31);
	to_self(0x21);
	on();
	check("the highest comes first", came == 3 && order[0] == 0x31 && order[1] == 0x21 && order[2] == 0x20);
	forget();
	*apic(TASK) = 0x2f;
	u32 priority = *apic(PRIORITY);
	to_self(0x20);
	to_self(0x31);
	little();
	check("the task priority holds its class back", came == 1 && order[0] == 0x31 && priority == 0x2f && bit_of(REQUESTED, 0x20));
	*apic(TASK) = 0x10;
	little();
	check("until it falls", came == 2 && order[1] == 0x20);
	forget();
	*apic(TASK) = 0x10;
	to_self(0x1f);
	little();
	int held = came == 0;
	*apic(TASK) = 0;
	little();
	check("0x10 holds 0x1f", held && came == 1);
#ifdef LONG
	forget();
	__asm__ volatile("mov %0, %%cr8" : : "r"(3ul));
	held = *apic(TASK) == 0x30;
	to_self(0x31);
	little();
	held &= came == 0;
	__asm__ volatile("mov %0, %%cr8" : : "r"(0ul));
	check("CR8 is the task priority", held && came == 1 && *apic(TASK) == 0);
#else
	check("CR8 is the task priority", 1);
#endif
	forget();
	to_self(0x60);
	little();
	check("a higher class nests, the same does not", came == 3 && nested == 2 && order[1] == 0x71 && order[2] == 0x6f && inside_priority == 0x60 && inside_service);
	off();
	forget();
	for (int i = 0; i < 5; i++) to_self(0x20);
	on();
	little();
	check("of five alike one is left", came == 1);
	check("nothing is in service then", *apic(PRIORITY) == 0 && !bit_of(IN_SERVICE, 0x20) && !bit_of(REQUESTED, 0x20));
	/* A vector in service and requested again: once more after its end. */
	off();
	forget();
	to_self(0x45);
	to_self(0x46);
	*apic(TASK) = 0x50;
	on();
	little();
	held = came == 0 && bit_of(REQUESTED, 0x45) && bit_of(REQUESTED, 0x46);
	*apic(TASK) = 0;
	little();
	check("requests outlive a priority that holds them", held && came == 2 && order[0] == 0x46);
	forget();
	*apic(0xf0) = 0xff;
	little();
	*apic(0xf0) = 0x1ff;
	*apic(0xb0) = 0;
	check("an end with nothing in service", came == 0 && *apic(PRIORITY) == 0);
}
static void check_errors(void)
{
	*apic(ESR) = 0;
	*apic(ESR) = 0;
	to_self(0x05);
	u32 before = *apic(ESR);
	*apic(ESR) = 0;
	u32 errors = *apic(ESR);
	*apic(ESR) = 0;
	check("errors are seen after a store", before == 0 && (errors & 0x20) && *apic(ESR) == 0);
	*apic(ESR) = 0;
	*apic(0x40);
	*apic(ESR) = 0;
	check("a register that there is not", *apic(ESR) == 0x80);
	*apic(ESR) = 0;
	check("the busy bit is never seen", !(*apic(COMMAND) & 1 << 12));
	*apic(COMMAND_TO) = 0x5a000000;
	forget();
	little();
	check("the destination alone sends nothing", came == 0 && *apic(COMMAND_TO) == 0x5a000000);
}
static void check_destinations(u32 count)
{
	*apic(DFR) = ~0u;
	*apic(LDR) = 1u << 24;
	int fine = 1;
	for (u32 set = 1; set < 1u << count; set++) {
		forget();
		send(set, 0x4800 | 0x20);
		for (int i = 0; i < 40 * (int)count; i++) relax();
		for (u32 i = 0; i < count; i++) fine &= at_once[i] == (set >> i & 1);
	}
	check("logical destinations, flat", fine);
	*apic(DFR) = 0x0fffffff;
	*apic(LDR) = 0x12u << 24;
	fine = 1;
	for (u32 cluster = 0; cluster < 3; cluster++) {
		for (u32 set = 1; set < 16; set++) {
			forget();
			off();
			send(cluster << 4 | set, 0x4800 | 0x20);
			u32 mine = bit_of(REQUESTED, 0x20);
			on();
			fine &= mine == (cluster == 1 && set & 2);
		}
	}
	*apic(DFR) = ~0u;
	*apic(LDR) = 1u << 24;
	little();
	check("and in clusters", fine);
	forget();
	send(count - 1, 0x4000 | 0x21);
	little();
	fine = came == 1 && at_once[count - 1] == 1;
	forget();
	send(0x77, 0x4000 | 0x21);
	little();
	check("to one, and to nobody", fine && came == 0);
}
/* The other processor sends as fast as it can. */
static void check_nmi(u32 count)
{
	if (count < 2) { check("no NMI between STI and the next instruction", 1); check("nor twice at once", 1); return; }
	/* STI; NOP; CLI; RET */
	sti_code[0] = 0xfb; sti_code[1] = 0x90; sti_code[2] = 0xfa; sti_code[3] = 0xc3;
	off();
	nmis = nmi_deepest = 0;
	for (u32 i = 0; i < 500; i++) {
		nmi_wanted++;
		for (int k = 0; k < 20 && nmi_sent != nmi_wanted; k++) ((void (*)(void))(word)sti_code)();
		while (nmi_sent != nmi_wanted || nmis != nmi_wanted) { ((void (*)(void))(word)sti_code)(); relax(); }
	}
	on();
	check("no NMI between STI and the next instruction", nmi_at_sti == 0);
	check("nor twice at once", nmis == 500 && nmi_deepest == 1);
}
static void check_io_apic(u32 count)
{
	*memory32(IO_APIC) = 0;
	u32 old = *memory32(IO_APIC + 0x10);
	*memory32(IO_APIC + 0x10) = 0x05000000;
	int fine = *memory32(IO_APIC + 0x10) == 0x05000000;
	*memory32(IO_APIC) = 2;
	fine &= *memory32(IO_APIC + 0x10) == 0x05000000;
	*memory32(IO_APIC + 0x10) = 0;
	fine &= *memory32(IO_APIC + 0x10) == 0x05000000;
	*memory32(IO_APIC) = 0;
	*memory32(IO_APIC + 0x10) = old;
	check("number and arbitration", fine);
	forget();
	redirect(EDGE_PIN, 0x77, 0);
	line(EDGE_PIN, 1);
	line(EDGE_PIN, 0);
	little();
	fine = came == 1;
	off();
	line(EDGE_PIN, 1);
	line(EDGE_PIN, 0);
	line(EDGE_PIN, 1);
	line(EDGE_PIN, 0);
	on();
	little();
	check("edges while one waits are one", fine && came == 2);
	forget();
	redirect(EDGE_PIN, 0x10077, 0);
	line(EDGE_PIN, 1);
	redirect(EDGE_PIN, 0x77, 0);
	little();
	line(EDGE_PIN, 0);
	check("an edge at a masked input is lost", came == 0);
	/* Levels. */
	redirect(LEVEL_PIN, 0x8078, 0);
	forget();
	line_low_at = 1;
	line(LEVEL_PIN, 1);
	little();
	check("a level", came == 1 && !(entry(LEVEL_PIN) & 1 << 14));
	forget();
	line_low_at = 3;
	line(LEVEL_PIN, 1);
	little();
	check("asks again at its end", came == 3 && !(entry(LEVEL_PIN) & 1 << 14));
	forget();
	line_low_at = 1;
	redirect(LEVEL_PIN, 0x18078, 0);
	line(LEVEL_PIN, 1);
	little();
	fine = came == 0;
	redirect(LEVEL_PIN, 0x8078, 0);
	little();
	check("waits while it is masked", fine && came == 1);
	off();
	forget();
	line(LEVEL_PIN, 1);
	u32 remote = entry(LEVEL_PIN) >> 14 & 1;
	line(LEVEL_PIN, 0);
	on();
	little();
	check("remote IRR stands until the end", remote == 1 && came == 1 && !(entry(LEVEL_PIN) & 1 << 14));
	/* An edge and a level of two classes at once, and the trigger modes that the handlers find. */
	off();
	forget();
	triggers = 0;
	line_low_at = 1;
	line(LEVEL_PIN, 1);
	line(EDGE_PIN, 1);
	line(EDGE_PIN, 0);
	on();
	little();
	check("the higher of two first, with its trigger mode", came == 2 && order[0] == 0x78 && order[1] == 0x77 && (triggers & 3) == 2 && same_ip);
	off();
	forget();
	line(LEVEL_PIN, 1);
	line_low_at = 1;
	redirect(LEVEL_PIN, 0x78, 0);
	fine = !(entry(LEVEL_PIN) & 1 << 14);
	on();
	little();
	line(LEVEL_PIN, 0);
	redirect(LEVEL_PIN, 0x8078, 0);
	check("an edge-triggered entry has no remote IRR", fine);
	/* Elsewhere. */
	forget();
	redirect(EDGE_PIN, 0x77, count - 1);
	line(EDGE_PIN, 1);
	line(EDGE_PIN, 0);
	little();
	check("to another processor", came == 1 && at_once[count - 1] == 1);
	forget();
	level_done = 0;
	line_low_at = 1;
	redirect(LEVEL_PIN, 0x8078, count - 1);
	line(LEVEL_PIN, 1);
	wait_for(&level_done, 1);
	little();
	check("a level too, and its end comes back", at_once[count - 1] == 1 && came == 1 && !(entry(LEVEL_PIN) & 1 << 14));
	forget();
	redirect(EDGE_PIN, 0x877, (1u << count) - 1);
	line(EDGE_PIN, 1);
	line(EDGE_PIN, 0);
	little();
	fine = came == count;
	for (u32 i = 0; i < count; i++) fine &= at_once[i] == 1;
	check("to several by their logical numbers", fine);
	forget();
	redirect(EDGE_PIN, 0x977, (1u << count) - 1);
	line(EDGE_PIN, 1);
	line(EDGE_PIN, 0);
	little();
	check("to just one of them, the lowest", came == 1);
	redirect(EDGE_PIN, 0x10000, 0);
	redirect(LEVEL_PIN, 0x10000, 0);
}
static void check_model_mode(u32 count)
{
	u64 base = read_msr(BASE);
	if (!(cpuid(1, 2) >> 21 & 1) || count < 2) { check("x2APIC mode of one among others", 1); check("all transitions", 1); check("its registers", 1); check("and back", 1); return; }
	forget();
	model_mode_others = 1;
	while (came == 0) relax();
	check("x2APIC mode of one among others", order[0] == 0x45 && seen[1] == 101 && seen[2] == 2);
	model_mode_others = 2;
	wait_for(&model_mode_others, 0);
	off();
	int fine = write_faults(BASE, (base & ~(u64)ENABLE) | MODEL_MODE); /* from on to an illegal one */
	write_msr(BASE, base | MODEL_MODE);
	fine &= write_faults(BASE, base) && write_faults(BASE, (base & ~(u64)ENABLE) | MODEL_MODE);
	write_msr(BASE, base & ~(u64)ENABLE);
	fine &= write_faults(BASE, base | MODEL_MODE) && write_faults(BASE, (base & ~(u64)ENABLE) | MODEL_MODE);
	write_msr(BASE, base);
	check("all transitions", fine && read_msr(BASE) == base);
	write_msr(BASE, base | MODEL_MODE);
	write_msr(0x80f, 0x1ff);
	fine = 1;
	static const u32 writable[] = { 0x808, 0x80f, 0x832, 0x835, 0x836, 0x837, 0x838, 0x83e };
	for (u32 i = 0; i < sizeof writable / sizeof *writable; i++) fine &= write_faults(writable[i], 1ull << 32) && write_faults(writable[i], 1ull << 63);
	static const u32 fixed[] = { 0x802, 0x803, 0x80a, 0x80d, 0x810, 0x818, 0x820, 0x839 };
	for (u32 i = 0; i < sizeof fixed / sizeof *fixed; i++) { fine &= write_faults(fixed[i], 0); faults = 0; read_msr(fixed[i]); fine &= faults == 0; }
	static const u32 absent[] = { 0x800, 0x801, 0x804, 0x80c, 0x80e, 0x829, 0x831, 0x83a, 0x840, 0x8ff };
	for (u32 i = 0; i < sizeof absent / sizeof *absent; i++) fine &= read_faults(absent[i]) && write_faults(absent[i], 0);
	fine &= write_faults(0x80b, 1) && read_faults(0x80b) && write_faults(0x828, 1) && write_faults(0x808, 0x100) && write_faults(0x83f, 0x120) && write_faults(0x80f, 0x80000000);
	faults = 0;
	write_msr(0x80b, 0);
	write_msr(0x828, 0);
	write_msr(0x830, (u64)0xffffffff << 32 | 0x4020);
	fine &= faults == 0;
	check("its registers", fine);
	little(); /* what went to all has arrived */
	forget();
	write_msr(0x83f, 0x20);
	fine = read_msr(0x821) == 1;
	write_msr(BASE, base & ~(u64)ENABLE);
	write_msr(BASE, base);
	set_up();
	*apic(LDR) = 1u << 24;
	little();
	check("and back", fine && came == 0 && *apic(0x20) == 0 && !bit_of(REQUESTED, 0x20));
}

int main(u32 magic, u32 info)
{
	u32 count = number_of(info, "NR_CPUS", 1);
	(void)magic;
	set_gate(2, on_nmi);
	set_gate(13, on_fault);
	set_gate(5, on_1f); /* where an illegal vector is sent all the same */
	set_gate(0x1f, on_1f);
	set_gate(0x20, on_20);
	set_gate(0x21, on_21);
	set_gate(0x31, on_31);
	set_gate(0x45, on_45);
	set_gate(0x46, on_46);
	set_gate(0x60, on_60);
	set_gate(0x6f, on_6f);
	set_gate(0x71, on_71);
	set_gate(0x77, on_77);
	set_gate(0x78, on_78);
	set_gate(0xff, on_spurious);
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	set_up();
	*apic(LDR) = 1u << 24;
	if (count > 1) {
		start_others();
		wait_for(&joins, count - 1);
	}
	check_priorities();
	check_errors();
	check_destinations(count);
	check_nmi(count);
	check_io_apic(count);
	check_model_mode(count);
	return summary();
}
