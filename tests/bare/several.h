/* Several processors: how they start, and what they use to wait for each other. NR_CPUS=n is in the first module. */
#define MOST 16

extern u8 trampoline[], trampoline_end[];
/* What a started processor does, on a stack of its own. It never comes back. */
void joined(u32 number);

static inline u32 id(void) { return *apic(0x20) >> 24; }
static inline void relax(void) { __asm__ volatile("pause" : : : "memory"); }
static inline void add(volatile u32 *to, u32 what) { __asm__ volatile("lock addl %1, %0" : "+m"(*to) : "ir"(what) : "memory"); }
static inline u64 read_tsc(void) { u32 low, high; __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)); return (u64)high << 32 | low; }
static inline void send(u32 to, u32 command)
{
	while (*apic(0x300) & 0x1000) relax();
	*apic(0x310) = to << 24;
	*apic(0x300) = command;
}
static inline void wait_for(volatile u32 *what, u32 value) { while (*what != value) relax(); }
/* Gates for this processor, and its local APIC, with interrupts on. */
static inline void set_up(void)
{
	struct __attribute__((packed)) { u16 limit; word base; } pointer = { sizeof gates - 1, (word)gates };
	__asm__ volatile("lidt %0" : : "m"(pointer));
	*apic(0xf0) = 0x1ff;
	*apic(0x80) = 0;
	__asm__ volatile("sti");
}
static inline void place_trampoline(void) { for (u8 *from = trampoline, *to = (u8 *)0x1000ul; from < trampoline_end; ) *to++ = *from++; }
/* All others, at once. They say that they are there by `joined`. */
static inline void start_others(void)
{
	place_trampoline();
	send(0, 0xc4500);
	for (int i = 0; i < 2000; i++) relax();
	send(0, 0xc4601);
}
/* What follows NAME= in the text of the first module, null without it. */
static inline const char *text_of(u32 info_at, const char *name)
{
	volatile u32 *info = memory32(info_at);
	if (!(info[0] & 8) || info[5] == 0) return 0;
	const char *at = (const char *)(word)*memory32(info[6]), *end = (const char *)(word)*memory32(info[6] + 4);
	while (at < end) {
		const char *letter = name;
		while (at < end && *letter && *at == *letter) at++, letter++;
		if (!*letter && at < end && *at == '=') return at + 1;
		while (at < end && *at++ != '\n');
	}
	return 0;
}
static inline u32 number_of(u32 info_at, const char *name, u32 otherwise)
{
	const char *at = text_of(info_at, name);
	u32 number = 0;
	if (!at) return otherwise;
	while (*at >= '0' && *at <= '9') number = number * 10 + *at++ - '0';
	return number;
}
