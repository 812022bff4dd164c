/* The synthetic interrupt controllers of several processors: sources, messages, flags and timers of one, used by another. */
#include "bare.h"
#include "interrupts.h"
#include "several.h"
#include "synthetic.h"

#define VECTOR 0xb0
#define AUTOMATIC(source) ((source) == 3 || (source) == 8 || (source) == 10 || (source) == 14)
#define AT(processor) ((processor) << 8)

static u8 message_pages[MOST][4096] __attribute__((aligned(4096))), flag_pages[MOST][4096] __attribute__((aligned(4096)));
static volatile u32 came[MOST][16], sum_of[MOST], joins, ticks[MOST], ends[MOST], leave[MOST], wrong;

static u32 me(void) { return (u32)read_msr(VP_INDEX); }
static volatile u32 *slot_at(u32 processor, u32 source) { return (volatile u32 *)(message_pages[processor] + source * 256); }
static volatile u32 *flags_at(u32 processor, u32 source) { return (volatile u32 *)(flag_pages[processor] + source * 256); }
static void little(void) { for (int i = 0; i < 400; i++) relax(); }
/* A full slot is emptied, unless the test wants it full. */
static void came_from(u32 source)
{
	u32 number = me();
	came[number][source]++;
	volatile u32 *at = slot_at(number, source);
	while (at[0] && !leave[number]) {
		if (at[0] == 0x80000010) ticks[number]++;
		else sum_of[number] += at[4];
		at[0] = 0;
		__asm__ volatile("lock orl $0, %0" : "+m"(*at) : : "memory");
		if (!(at[1] >> 8 & 1)) break;
		ends[number]++;
		write_msr(EOM, 0);
	}
	if (!AUTOMATIC(source)) *apic(0xb0) = 0;
}
#define SOURCE(n) HANDLER on_source##n(struct frame *frame) { (void)frame; came_from(n); }
SOURCE(0) SOURCE(1) SOURCE(2) SOURCE(3) SOURCE(4) SOURCE(5) SOURCE(6) SOURCE(7) SOURCE(8) SOURCE(9) SOURCE(10) SOURCE(11) SOURCE(12) SOURCE(13) SOURCE(14) SOURCE(15)

static void switch_on(void)
{
	u32 number = me();
	write_msr(SIMP, (word)message_pages[number] | 1);
	write_msr(SIEFP, (word)flag_pages[number] | 1);
	for (u32 i = 0; i < 16; i++) write_msr(SINT + i, (VECTOR + i) | (AUTOMATIC(i) ? AUTO_EOI : 0));
	write_msr(SCONTROL, 1);
}
static volatile u32 timers_wanted, timers_set;
void joined(u32 number)
{
	(void)number;
	set_up();
	number = me();
	if (number != id()) add(&wrong, 1);
	switch_on();
	add(&joins, 1);
	for (u32 done = 0;;) {
		if (leave[number] == 2) { /* the slot of source 5 is emptied and told */
			slot_at(number, 5)[0] = 0;
			leave[number] = 0;
			write_msr(EOM, 0);
		}
		if (timers_wanted != done) {
			done = timers_wanted;
			write_msr(TIMER, 2 << 16 | 3); /* periodic, by messages of source 2 */
			write_msr(TIMER + 1, 2000);
			write_msr(TIMER, 2 << 16 | 3);
			add(&timers_set, 1);
		}
		relax();
	}
}
static u32 post_number(u32 connection, u32 number)
{
	u32 *at = (u32 *)input;
	at[0] = connection; at[1] = 0; at[2] = 1; at[3] = 4; at[4] = number;
	return call(0x5c, (word)input);
}

int main(u32 magic, u32 info)
{
	void *const sources[] = { on_source0, on_source1, on_source2, on_source3, on_source4, on_source5, on_source6, on_source7, on_source8, on_source9, on_source10, on_source11, on_source12, on_source13, on_source14, on_source15 };
	u32 count = number_of(info, "NR_CPUS", 2);
	(void)magic;
	for (u32 i = 0; i < 16; i++) set_gate(VECTOR + i, sources[i]);
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	set_up();
	write_msr(GUEST_OS, 0x8100000000000001ull);
	write_msr(HYPERCALL, (word)call_page | 1);
	switch_on();
	start_others();
	wait_for(&joins, count - 1);
	check("each has its number", wrong == 0 && me() == 0);

	u32 fine = 1, to = count - 1;
	for (u32 i = 0; i < 16; i++) control(RAISE, AT(to) | i, 0);
	while (came[to][15] == 0 || came[to][0] == 0) relax();
	little();
	for (u32 i = 0; i < 16; i++) fine &= came[to][i] == 1 && came[0][i] == 0;
	check("sources of another one, all at once", fine);

	for (u32 i = 0; i < count; i++) control(MESSAGES, AT(i) | 3, 20 + i);
	for (u32 round = 1; round <= 50; round++) for (u32 i = 0; i < count; i++) while (post_number(20 + i, round) == 0x13) relax();
	little();
	fine = 1;
	for (u32 i = 0; i < count; i++) { while (sum_of[i] != 50 * 51 / 2) relax(); fine &= came[i][3] >= 2; }
	check("messages to each, none lost", fine);

	leave[to] = 1;
	control(MESSAGES, AT(to) | 5, 40);
	u32 before = came[to][5], seen = sum_of[to];
	fine = post_number(40, 1000) == 0;
	while (came[to][5] == before) relax();
	fine &= post_number(40, 2000) == 0 && slot_at(to, 5)[4] == 1000;
	little();
	fine &= came[to][5] == before + 1 && (slot_at(to, 5)[1] >> 8 & 1);
	check("a full slot holds the next one back", fine);
	leave[to] = 2;
	while (came[to][5] == before + 1) relax();
	little();
	check("until its owner says that it is empty", sum_of[to] == seen + 2000 && !(slot_at(to, 5)[1] >> 8 & 1));

	control(EVENTS, AT(to) | 6, 50);
	before = came[to][6];
	fine = signal(50, 0) == 0;
	while (came[to][6] == before) relax();
	fine &= flags_at(to, 6)[1] == 1 << 18 && signal(50, 0) == 0;
	little();
	check("a flag of another one, set once", fine && came[to][6] == before + 1 && flags_at(0, 6)[1] == 0);

	timers_wanted = 1;
	wait_for(&timers_set, count - 1);
	for (u32 i = 1; i < count; i++) while (ticks[i] < 5) relax();
	check("timers of each", ticks[0] == 0);

	/* An interrupt to a set of processors by one call. */
	for (u32 i = 0; i < count; i++) came[i][9] = 0;
	u32 *at = (u32 *)input;
	at[0] = VECTOR + 9; at[1] = 0; at[2] = (1u << count) - 1; at[3] = 0;
	fine = call(0x0b, (word)input) == 0;
	little();
	for (u32 i = 0; i < count; i++) fine &= came[i][9] == 1;
	check("one call interrupts all of a set", fine);
	return summary();
}
