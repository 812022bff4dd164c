/* Several processors: how they start, what they send to each other, and that their memory is one. */
#include "bare.h"
#include "interrupts.h"
#include "several.h"

#define TURNS 2000
#define PING 0x60
#define SHOOT 0x61

extern u32 real_page;
static volatile u32 count = 1, alive = 1, pings[MOST], shot, nmis, ids, joins;
/* What all but the first are to do, and how many have done it. */
static void (*volatile task)(u32 number);
static volatile u32 round, done;

static u32 exchange_add(volatile u32 *to, u32 what) { __asm__ volatile("lock xaddl %0, %1" : "+r"(what), "+m"(*to) : : "memory"); return what; }
static u32 exchange(volatile u32 *with, u32 what) { __asm__ volatile("xchgl %0, %1" : "+r"(what), "+m"(*with) : : "memory"); return what; }
static int replace(volatile u32 *at, u32 from, u32 to) { u32 was = from; __asm__ volatile("lock cmpxchgl %2, %1" : "+a"(was), "+m"(*at) : "r"(to) : "memory"); return was == from; }

HANDLER on_ping(struct frame *frame) { (void)frame; add(&pings[id()], 1); *apic(0xb0) = 0; }
HANDLER on_nmi(struct frame *frame) { (void)frame; add(&nmis, 1); }
static u8 page[2 * 4096] __attribute__((aligned(4096)));
HANDLER on_shoot(struct frame *frame) { (void)frame; __asm__ volatile("invlpg %0" : : "m"(*page)); add(&shot, 1); *apic(0xb0) = 0; }

/* A started processor. It never comes back. */
void joined(u32 number)
{
	u32 seen = 0;
	set_up();
	add(&ids, 1u << id());
	add(&joins, 1);
	add(&alive, 1);
	for (;;) {
		while (round == seen) relax();
		seen = round;
		task(number);
		add(&done, 1);
	}
}
/* All of them do it, and this one too. */
static void together(void (*what)(u32 number))
{
	done = 0;
	task = what;
	add(&round, 1);
	what(0);
	wait_for(&done, count - 1);
}
static void others_do(void (*what)(u32 number))
{
	done = 0;
	task = what;
	add(&round, 1);
}

static volatile u32 sum, plain, ticket, serving, lock_word, tally, odd[2];
static void add_up(u32 number)
{
	for (int i = 0; i < TURNS; i++) { add(&sum, number + 1); exchange_add(&sum, 1); }
}
/* Two words, the second of which crosses a line and a page. */
static u8 split[2 * 4096] __attribute__((aligned(4096)));
static void add_split(u32 number)
{
	(void)number;
	for (int i = 0; i < TURNS; i++) { add((volatile u32 *)(split + 62), 1); add((volatile u32 *)(split + 4094), 1); }
}
static void under_lock(u32 number)
{
	(void)number;
	for (int i = 0; i < TURNS / 4; i++) {
		while (exchange(&lock_word, 1)) while (lock_word) relax();
		plain++;
		__asm__ volatile("movl $0, %0" : "=m"(lock_word) : : "memory");
	}
}
static void in_order(u32 number)
{
	(void)number;
	for (int i = 0; i < TURNS / 4; i++) {
		u32 mine = exchange_add(&ticket, 1);
		while (serving != mine) relax();
		plain++;
		serving = mine + 1;
	}
}
static void by_comparison(u32 number)
{
	(void)number;
	for (int i = 0; i < TURNS / 4; i++) {
		u32 was;
		do was = tally; while (!replace(&tally, was, was + 3));
	}
}
static void wide(u32 number)
{
	(void)number;
	static volatile u64 both __attribute__((aligned(8)));
	for (int i = 0; i < TURNS / 4; i++) {
		u64 was, next;
		char equal;
		do {
			u32 low, high;
			was = both;
			next = was + 0x100000001ull;
			low = was, high = was >> 32;
			__asm__ volatile("lock cmpxchg8b %1; sete %0" : "=q"(equal), "+m"(both), "+a"(low), "+d"(high) : "b"((u32)next), "c"((u32)(next >> 32)) : "memory", "cc");
		} while (!equal);
		if ((u32)was != (u32)(was >> 32)) add(&odd[0], 1);
	}
	odd[1] = (u32)both;
}

/* Message passing, and stores that are seen in one order. */
static volatile u32 message, flag, wrong;
static void pass_on(u32 number)
{
	for (u32 i = 1; i <= TURNS / 4; i++) {
		if (number == 0) {
			message = i * 7;
			flag = i;
			wait_for(&serving, (count - 1) * i);
		} else {
			while (flag != i) relax();
			if (message != i * 7) add(&wrong, 1);
			add(&serving, 1);
		}
	}
}
static volatile u32 x[4], y[4], met;
static void store_then_load(u32 number)
{
	for (u32 i = 1; i <= TURNS / 8; i++) {
		if (number < 2) {
			u32 other;
			(number == 0 ? x : y)[0] = i;
			__asm__ volatile("lock orl $0, %0" : "+m"(met) : : "memory");
			other = (number == 0 ? y : x)[0];
			(number == 0 ? x : y)[1] = other;
		}
		exchange_add(&serving, 1);
		while (serving < count * (2 * i - 1)) relax();
		if (number == 0 && x[1] != i && y[1] != i) add(&wrong, 1);
		exchange_add(&serving, 1);
		while (serving < count * 2 * i) relax();
	}
}
static volatile u64 last_time;
static void compare_time(u32 number)
{
	(void)number;
	for (int i = 0; i < TURNS / 8; i++) {
		while (exchange(&lock_word, 1)) relax();
		u64 now = read_tsc();
		if (now < last_time) wrong++;
		last_time = now;
		exchange(&lock_word, 0);
	}
}

/* Code that another processor has changed. */
static u8 code[4096] __attribute__((aligned(4096)));
static volatile u32 version, answers;
static u32 call_code(void) { return ((u32 (*)(void))(word)code)(); }
static void write_code(u32 answer) { code[0] = 0xb8; *(volatile u32 *)(code + 1) = answer; code[5] = 0xc3; }
static void run_code(u32 number)
{
	u32 regs[4];
	for (u32 i = 1; i <= 60; i++) {
		if (number == 0) {
			write_code(i * 3);
			version = i;
		} else while (version != i) relax();
		__asm__ volatile("cpuid" : "=a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]), "=d"(regs[3]) : "a"(0), "c"(0) : "memory");
		for (int again = 0; again < 60; again++) if (call_code() != i * 3) add(&wrong, 1);
		add(&answers, 1);
		while (answers < count * i) relax();
	}
}

/* A page that comes to lie elsewhere: the others are told by an interrupt. */
static volatile u32 mapped_wrong, looking;
#ifdef LONG
static u64 table[512] __attribute__((aligned(4096)));
static void map(void *at, void *to) { table[(word)at >> 12 & 511] = (word)to | 3; }
static void make_table(void)
{
	word cr3;
	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	u64 *level3 = (u64 *)(*(u64 *)cr3 & ~0xfffull), *level2 = (u64 *)(level3[0] & ~0xfffull);
	word part = (word)page >> 21;
	for (word i = 0; i < 512; i++) table[i] = (part << 21) + (i << 12) + 3;
	level2[part] = (word)table | 3;
	__asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
}
static void make_table_here(u32 number)
{
	word cr3;
	(void)number;
	__asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3) : : "memory");
}
#else
static u32 directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static void map(void *at, void *to) { table[(word)at >> 12 & 1023] = (word)to | 3; }
static void make_table(void)
{
	word part = (word)page >> 22;
	for (u32 i = 0; i < 1024; i++) directory[i] = (i << 22) | 0x83;
	for (u32 i = 0; i < 1024; i++) table[i] = (part << 22) + (i << 12) + 3;
	directory[part] = (word)table | 3;
}
static void make_table_here(u32 number)
{
	word value;
	(void)number;
	__asm__ volatile("mov %%cr4, %0; or $0x10, %0; mov %0, %%cr4" : "=r"(value));
	__asm__ volatile("mov %0, %%cr3" : : "r"(directory) : "memory");
	__asm__ volatile("mov %%cr0, %0; or $0x80000000, %0; mov %0, %%cr0" : "=r"(value) : : "memory");
}
#endif
static void look(u32 number)
{
	(void)number;
	volatile u32 *at = (volatile u32 *)page;
	while (looking) {
		u32 before = looking, seen = *at;
		if (before == looking && before != 99 && seen != before) add(&mapped_wrong, 1);
		relax();
	}
}

static void pause_a_little(void) { for (int i = 0; i < 2000; i++) relax(); }
static u32 all_pings(u32 except) { u32 all = 0; for (u32 i = 0; i < count; i++) if (i != except) all += pings[i]; return all; }

int main(u32 magic, u32 at)
{
	u32 wanted = number_of(at, "NR_CPUS", 1);
	(void)magic;

	set_gate(2, on_nmi);
	set_gate(PING, on_ping);
	set_gate(SHOOT, on_shoot);
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	set_up();
	ids = 1u << id();
	check("the boot processor says so", id() == 0 && *apic(0x30) >> 16 >= 4);

	place_trampoline();
	send(0, 0xc4500);
	pause_a_little();
	check("INIT alone starts nobody", joins == 0);
	send(0, 0xc4601);
	while (alive < wanted) relax();
	count = alive;
	pause_a_little();
	check("all started, once, with a number of its own each", joins == wanted - 1 && alive == wanted && ids == (1u << wanted) - 1);
	check("at the page of the message in real mode", wanted == 1 || real_page == 0x100);
	send(0, 0xc4601);
	pause_a_little();
	check("a processor that runs ignores a start-up message", joins == wanted - 1);

	send(0, 0x44000 | PING);
	wait_for(&pings[0], 1);
	check("an interrupt to itself", all_pings(0) == 0);
	send(0, 0xc4000 | PING);
	while (all_pings(0) < count - 1) relax();
	pause_a_little();
	check("to all others", pings[0] == 1 && all_pings(0) == count - 1);
	send(0, 0x84000 | PING);
	while (all_pings(MOST) < 2 * count) relax();
	check("to all", pings[0] == 2);
	for (u32 i = 0; i < count; i++) {
		u32 before = pings[i];
		send(i, 0x4000 | PING);
		wait_for(&pings[i], before + 1);
	}
	check("to each by its number", all_pings(MOST) == 3 * count);
	send(0xff, 0x4000 | PING);
	while (all_pings(MOST) < 4 * count) relax();
	check("to everybody's number", pings[0] == 4);
	send(0, 0xc4400);
	while (nmis < count - 1) relax();
	check("NMI to all others", nmis == count - 1);

	together(add_up);
	check("locked additions are all there", sum == TURNS * (count * (count + 1) / 2 + count));
	together(add_split);
	check("also where they cross lines and pages", *(volatile u32 *)(split + 62) == TURNS * count && *(volatile u32 *)(split + 4094) == TURNS * count);
	together(under_lock);
	check("a lock by exchange keeps others out", plain == TURNS / 4 * count);
	plain = 0;
	together(in_order);
	check("a lock with tickets keeps others out", plain == TURNS / 4 * count && serving == ticket);
	together(by_comparison);
	check("compare and exchange", tally == TURNS / 4 * count * 3);
	together(wide);
	check("compare and exchange of 8 bytes", odd[0] == 0 && odd[1] == TURNS / 4 * count);
	serving = 0;
	together(pass_on);
	check("a message is there when its flag is", wrong == 0);
	serving = 0;
	if (count > 1) together(store_then_load);
	check("of two that store and then look, one sees the other", wrong == 0);
	together(compare_time);
	check("the time stamp never goes back from one to another", wrong == 0);
	together(run_code);
	check("code that another one wrote is run", wrong == 0 && answers == 60 * count);

	make_table();
	together(make_table_here);
	*(volatile u32 *)page = 1;
	*(volatile u32 *)(page + 4096) = 2;
	looking = 1;
	others_do(look);
	for (u32 i = 0; i < 40; i++) {
		looking = 99;
		map(page, page + (i & 1 ? 0 : 4096));
		shot = 0;
		__asm__ volatile("invlpg %0" : : "m"(*page) : "memory");
		send(0, 0xc4000 | SHOOT);
		wait_for(&shot, count - 1);
		looking = i & 1 ? 1 : 2;
		for (int k = 0; k < 50; k++) relax();
	}
	looking = 0;
	wait_for(&done, count - 1);
	check("a page that lies elsewhere is seen there by all", mapped_wrong == 0);

	if (count > 1) {
		joins = 0;
		alive = count - 1;
		count--;
		send(1, 0x4500);
		pause_a_little();
		u32 before = pings[1];
		send(1, 0x4000 | PING);
		pause_a_little();
		check("INIT stops one that runs, and it takes no interrupt", pings[1] == before && joins == 0);
		send(1, 0x4601);
		while (joins == 0) relax();
		check("until it is started again", alive == count + 1);
	} else {
		check("nobody to stop", 1);
		check("nobody to start again", 1);
	}
	return summary();
}
