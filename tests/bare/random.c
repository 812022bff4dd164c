/*
 * Every processor does things by chance to what all share: words by LOCK and without, code, and pages in two address spaces, whose tables are changed
 * while the others stand. What each has seen goes into a sum. SEED=, STEPS= and NR_CPUS= are in the first module; the same run gives the same sums.
 */
#include "bare.h"
#include "interrupts.h"
#include "several.h"

#define HOLD 0x61
#define POKE 0x62
#define WINDOWS 16
#define FRAMES 24
#define WORDS 1024

static volatile u32 started = 1, finished, editing, held, edit_lock, code_lock, steps, pokes[MOST];
static volatile u32 words[64] __attribute__((aligned(4096)));
static u32 random_of[MOST], sum_of[MOST], space_of[MOST];
static u8 frames[FRAMES][4096] __attribute__((aligned(4096)));
static u8 windows[WINDOWS][4096] __attribute__((aligned(4096)));
static u8 code[4][64] __attribute__((aligned(4096)));

#ifdef LONG
typedef u64 entry;
static entry level4s[2][512] __attribute__((aligned(4096))), level3s[2][512] __attribute__((aligned(4096))), level2s[2][512] __attribute__((aligned(4096)));
static entry tables[2][512] __attribute__((aligned(4096)));
static word top_of(u32 space) { return (word)level4s[space]; }
static void make_space(u32 space)
{
	word cr3, part = (word)windows >> 21;
	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	entry *old3 = (entry *)(*(entry *)cr3 & ~0xfffull), *old2 = (entry *)(old3[0] & ~0xfffull);
	for (u32 i = 0; i < 512; i++) { level4s[space][i] = 0; level3s[space][i] = old3[i]; level2s[space][i] = old2[i]; tables[space][i] = (part << 21) + (i << 12) + 3; }
	level4s[space][0] = (word)level3s[space] | 3;
	level3s[space][0] = (word)level2s[space] | 3;
	level2s[space][part] = (word)tables[space] | 3;
}
static u32 slot_of(u32 window) { return ((word)windows[window] >> 12) & 511; }
static void paging_on(void) {}
#else
typedef u32 entry;
static entry directories[2][1024] __attribute__((aligned(4096))), tables[2][1024] __attribute__((aligned(4096)));
static word top_of(u32 space) { return (word)directories[space]; }
static void make_space(u32 space)
{
	word part = (word)windows >> 22;
	for (u32 i = 0; i < 1024; i++) { directories[space][i] = (i << 22) | 0x83; tables[space][i] = (part << 22) + (i << 12) + 3; }
	directories[space][part] = (word)tables[space] | 3;
}
static u32 slot_of(u32 window) { return ((word)windows[window] >> 12) & 1023; }
static void paging_on(void)
{
	word value;
	__asm__ volatile("mov %%cr4, %0; or $0x10, %0; mov %0, %%cr4" : "=r"(value));
	__asm__ volatile("mov %%cr0, %0; or $0x80000000, %0; mov %0, %%cr0" : "=r"(value) : : "memory");
}
#endif
static void enter_space(u32 number, u32 space)
{
	space_of[number] = space;
	__asm__ volatile("mov %0, %%cr3" : : "r"(top_of(space)) : "memory");
}
static u32 chance(u32 number, u32 below) { return ((random_of[number] = random_of[number] * 1664525u + 1013904223u) >> 8) % below; }
static void note(u32 number, u32 what) { sum_of[number] = (sum_of[number] ^ what) * 16777619u; }
static u32 exchange(volatile u32 *with, u32 what) { __asm__ volatile("xchgl %0, %1" : "+r"(what), "+m"(*with) : : "memory"); return what; }
static u32 exchange_add(volatile u32 *to, u32 what) { __asm__ volatile("lock xaddl %0, %1" : "+r"(what), "+m"(*to) : : "memory"); return what; }
static void lock(volatile u32 *at) { while (exchange(at, 1)) relax(); }
static void unlock(volatile u32 *at) { __asm__ volatile("movl $0, %0" : "=m"(*at) : : "memory"); }

/* Stands until the tables are changed, and then forgets what it knew. */
HANDLER on_hold(struct frame *frame)
{
	(void)frame;
	u32 window = editing;
	add(&held, 1);
	while (editing == window) relax();
	__asm__ volatile("invlpg (%0)" : : "r"(windows[(window - 1) & (WINDOWS - 1)]) : "memory");
	add(&held, -1);
	*apic(0xb0) = 0;
}
HANDLER on_poke(struct frame *frame) { (void)frame; add(&pokes[id()], 1); *apic(0xb0) = 0; }

static void edit(u32 number)
{
	u32 window = chance(number, WINDOWS), space = chance(number, 2), frame = chance(number, FRAMES), others = number;
	lock(&edit_lock);
	wait_for(&held, 0);
	editing = window + 1;
	send(0, 0xc4000 | HOLD);
	wait_for(&held, started - 1);
	tables[space][slot_of(window)] = (word)frames[frame] | 3;
	__asm__ volatile("invlpg (%0)" : : "r"(windows[window]) : "memory");
	editing = 0;
	wait_for(&held, 0);
	unlock(&edit_lock);
	note(others, window * 64 + frame);
}
static void step(u32 number)
{
	volatile u32 *at = (volatile u32 *)windows[chance(number, WINDOWS)] + chance(number, WORDS), *other = (volatile u32 *)windows[chance(number, WINDOWS)] + chance(number, WORDS);
	u32 which = chance(number, 4), value = random_of[number];
	switch (chance(number, 24)) {
	case 0: edit(number); break;
	case 1: enter_space(number, space_of[number] ^ 1); break;
	case 2: enter_space(number, space_of[number]); break;
	case 3: /* the immediate of a function that others may be about to call */
		lock(&code_lock);
		*(volatile u32 *)(code[which] + 1) = value;
		unlock(&code_lock);
		break;
	case 4: case 5: case 6: note(number, ((u32 (*)(void))(word)code[which])()); break;
	case 7: send(chance(number, started), 0x4000 | POKE); break;
	case 8: case 9: note(number, exchange_add(&words[value & 63], value >> 5)); break;
	case 10: note(number, exchange(at, value)); break;
	case 11: add(at, value); break;
	case 12: { u32 was = value & 7; __asm__ volatile("lock cmpxchgl %2, %1" : "+a"(was), "+m"(words[which]) : "r"(value & 7) : "memory"); note(number, was); break; }
	case 13: __asm__ volatile("invlpg (%0)" : : "r"(at) : "memory"); break;
	case 14: { volatile u32 *from = at, *to = other; u32 count = 1 + value % 40; __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory"); break; }
	case 15: case 16: case 17: *at = value; break;
	case 18: (*at)++; break;
	case 19: *(volatile u32 *)((u8 *)windows[0] + 4094 + 4096 * which) = value; break; /* over two pages */
	default: note(number, *at + *other); break;
	}
}
static void work(u32 number)
{
	for (u32 i = 0; i < steps; i++) step(number);
	add(&finished, 1);
	while (finished != started) relax();
}
static void set_up_this(u32 number, u32 seed)
{
	random_of[number] = seed + number * 7919;
	sum_of[number] = 2166136261u;
	enter_space(number, number & 1);
	paging_on();
	set_up();
}
static volatile u32 seed_of_all;
void joined(u32 number)
{
	(void)number;
	number = id();
	set_up_this(number, seed_of_all);
	add(&started, 1);
	while (!steps) relax();
	work(number);
	for (;;) __asm__ volatile("sti; hlt");
}

int main(u32 magic, u32 info)
{
	u32 processors = number_of(info, "NR_CPUS", 1), wanted = number_of(info, "STEPS", 1000), all = 2166136261u;
	(void)magic;
	seed_of_all = number_of(info, "SEED", 1);
	set_gate(HOLD, on_hold);
	set_gate(POKE, on_poke);
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	for (u32 i = 0; i < 4; i++) { code[i][0] = 0xb8; code[i][5] = 0xc3; }
	for (u32 space = 0; space < 2; space++) {
		make_space(space);
		for (u32 i = 0; i < WINDOWS; i++) tables[space][slot_of(i)] = (word)frames[(i + space * 5) % FRAMES] | 3;
	}
	set_up_this(0, seed_of_all);
	if (processors > 1) {
		start_others();
		wait_for(&started, processors);
	}
	steps = wanted;
	work(0);
	for (int i = 0; i < 3000; i++) relax();
	for (u32 i = 0; i < processors; i++) {
		print("processor ");
		print_number(i);
		print(" ");
		print_hex(sum_of[i]);
		print(" poked ");
		print_number(pokes[i]);
		print("\n");
	}
	for (u32 i = 0; i < sizeof frames / 4; i++) all = (all ^ ((u32 *)frames)[i]) * 16777619u;
	for (u32 i = 0; i < 64; i++) all = (all ^ words[i]) * 16777619u;
	print("memory ");
	print_hex(all);
	print("\n");
	return 0;
}
