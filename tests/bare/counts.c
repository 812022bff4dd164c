/*
 * Interrupts of timers, of other processors and of a disk, all at once, each counted where it is asked for and where it arrives. Nobody asks again
 * before the last one has arrived, so the two counts are to be equal. NR_CPUS=, TOTAL=, SEED= and EOI= (explicit, x2apic or lazy) are in the first module.
 */
#include "bare.h"
#include "interrupts.h"
#include "several.h"
#include "synthetic.h"

#define FROM 0x60 /* and the number of the sender */
#define CLOCK 0x82
#define DISK 0x91
#define DISK_PIN 14
#define IO_APIC 0xfec00000u
#define BASE 0x1b
#define DEADLINE 0x6e0
enum { MODEL = 0x800 };

static struct { volatile u32 sent[MOST], got[MOST], armed, fired, random, lazy, offers; } all[MOST];
static u8 assist[MOST][4096] __attribute__((aligned(4096)));
static volatile u32 asked, served, bad_data, total, stop, settled, started, in_service, with_model, lazily, has_deadline;

static u32 me(void) { return with_model ? (u32)read_msr(MODEL + 2) : id(); }
static u32 chance(u32 number, u32 below) { return (all[number].random = all[number].random * 1664525u + 1013904223u) / 65536 % below; }
static u32 get(u32 at) { return with_model ? (u32)read_msr(MODEL + (at >> 4)) : *apic(at); }
static void set(u32 at, u32 value) { if (with_model) write_msr(MODEL + (at >> 4), value); else *apic(at) = value; }
static void end_of_interrupt(u32 number)
{
	u32 offer = 0;
	if (lazily) __asm__ volatile("xchgl %0, %1" : "+r"(offer), "+m"(*(volatile u32 *)assist[number]) : : "memory");
	if (offer & 1) all[number].offers++;
	else set(0xb0, 0);
}
static void send_to(u32 number, u32 vector)
{
	if (with_model) { write_msr(MODEL + 0x30, (u64)number << 32 | 0x4000 | vector); return; }
	send(number, 0x4000 | vector);
}
/* Every other processor by the deadline of its counter, if there is such a thing. */
static void arm(u32 number)
{
	all[number].armed++;
	u32 after = 5000 + chance(number, 40000);
	if (has_deadline && number & 1) write_msr(DEADLINE, read_tsc() + after);
	else set(0x380, after);
}
static void ask_disk(void)
{
	u32 sector = asked++ & 15;
	while (in8(0x1f7) & 0x80);
	out8(0x1f6, 0xe0);
	out8(0x1f2, 1);
	out8(0x1f3, sector);
	out8(0x1f4, 0);
	out8(0x1f5, 0);
	out8(0x1f7, 0x20);
}

static void came_from(u32 sender) { u32 number = me(); all[number].got[sender]++; end_of_interrupt(number); }
#define SENDER(n) HANDLER on_sender##n(struct frame *frame) { (void)frame; came_from(n); }
SENDER(0) SENDER(1) SENDER(2) SENDER(3) SENDER(4) SENDER(5) SENDER(6) SENDER(7) SENDER(8) SENDER(9) SENDER(10) SENDER(11) SENDER(12) SENDER(13) SENDER(14) SENDER(15)
HANDLER on_clock(struct frame *frame)
{
	u32 number = me();
	(void)frame;
	all[number].fired++;
	if (!stop) arm(number);
	end_of_interrupt(number);
}
HANDLER on_disk(struct frame *frame)
{
	u16 words[256];
	u32 sector = served & 15, count = 256;
	u16 *to = words;
	(void)frame;
	if ((in8(0x1f7) & 0x89) != 0x08) bad_data++;
	__asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(0x1f0) : "memory");
	if (words[0] != sector || words[255] != (u16)~sector) bad_data++;
	served++;
	if (!stop) ask_disk();
	end_of_interrupt(me());
}

static u32 arrived(void)
{
	u32 sum = served;
	for (u32 i = 0; i < started; i++) {
		sum += all[i].fired;
		for (u32 k = 0; k < started; k++) sum += all[i].got[k];
	}
	return sum;
}
/* Until it is told to stop, and all that it has asked for has arrived. */
static void work(u32 number)
{
	set(0x3e0, 0xb); /* the counter is not divided */
	set(0x320, CLOCK | (has_deadline && number & 1 ? 2u << 17 : 0));
	__asm__ volatile("cli");
	arm(number);
	__asm__ volatile("sti");
	for (u32 turn = 0; !stop; turn++) {
		u32 other = chance(number, started);
		if (all[other].got[number] == all[number].sent[other]) {
			all[number].sent[other]++;
			send_to(other, FROM + number);
		}
		for (u32 i = chance(number, 40); i > 0; i--) __asm__ volatile("");
		relax();
		if (number == 0 && (turn & 255) == 0 && arrived() >= total) stop = 1;
	}
	for (u32 other = 0; other < started; other++) wait_for(&all[other].got[number], all[number].sent[other]);
	wait_for(&all[number].fired, all[number].armed);
	if (number == 0) wait_for(&served, asked);
	for (int i = 0; i < 3000; i++) relax(); /* what came twice would come now */
	__asm__ volatile("cli");
	for (u32 at = 0x100; at < 0x180; at += 16) if (get(at) || get(at + 0x100)) add(&in_service, 1);
	add(&settled, 1);
}
static void set_up_this(u32 number)
{
	all[number].random = all[0].random + number * 7919;
	set_up();
	if (with_model) write_msr(BASE, read_msr(BASE) | 0x400);
	if (lazily) write_msr(ASSIST, (word)assist[number] | 1);
}
void joined(u32 number)
{
	(void)number;
	number = id();
	set_up_this(number);
	add(&started, 1);
	while (!total) relax();
	work(number);
	for (;;) __asm__ volatile("cli; hlt");
}
static void tell(const char *what, u32 asked_for, u32 came)
{
	print(what);
	print(": asked ");
	print_number(asked_for);
	print(" came ");
	print_number(came);
	print("\n");
	check(what, asked_for == came);
}

int main(u32 magic, u32 info)
{
	void *const senders[] = { on_sender0, on_sender1, on_sender2, on_sender3, on_sender4, on_sender5, on_sender6, on_sender7, on_sender8, on_sender9, on_sender10, on_sender11, on_sender12, on_sender13, on_sender14, on_sender15 };
	const char *how = text_of(info, "EOI");
	u32 processors = number_of(info, "NR_CPUS", 1), sent = 0, got = 0, armed = 0, fired = 0, offers = 0;
	(void)magic;
	with_model = how && how[0] == 'x';
	lazily = how && how[0] == 'l';
	has_deadline = cpuid(1, 2) >> 24 & 1;
	all[0].random = number_of(info, "SEED", 1);
	for (u32 i = 0; i < MOST; i++) set_gate(FROM + i, senders[i]);
	set_gate(CLOCK, on_clock);
	set_gate(DISK, on_disk);
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	if (lazily) write_msr(GUEST_OS, 0x8100000000000001ull);
	started = 1;
	u32 was_with_model = with_model;
	with_model = 0;
	set_up();
	if (processors > 1) {
		with_model = was_with_model;
		start_others();
		wait_for(&started, processors);
	}
	with_model = was_with_model;
	set_up_this(0);
	*memory32(IO_APIC) = 0x10 + 2 * DISK_PIN + 1;
	*memory32(IO_APIC + 0x10) = (processors - 1) << 24;
	*memory32(IO_APIC) = 0x10 + 2 * DISK_PIN;
	*memory32(IO_APIC + 0x10) = DISK;
	out8(0x3f6, 0);
	total = number_of(info, "TOTAL", 10000);
	ask_disk();
	work(0);
	wait_for(&settled, processors);
	for (u32 i = 0; i < processors; i++) {
		armed += all[i].armed;
		fired += all[i].fired;
		offers += all[i].offers;
		for (u32 k = 0; k < processors; k++) { sent += all[i].sent[k]; got += all[k].got[i]; }
	}
	tell("timers", armed, fired);
	tell("processors", sent, got);
	tell("disk", asked, served);
	check("enough of them", fired + got + served >= total);
	check("the disk's data", bad_data == 0);
	check("none is left", in_service == 0);
	print("ends without an exit ");
	print_number(offers);
	print("\n");
	return summary();
}
