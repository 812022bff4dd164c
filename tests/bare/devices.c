/* The devices that test programs use, those of the board among them. */
#include "bare.h"
#include "interrupts.h"

#define IO_APIC 0xfec00000u

static volatile u32 edges, levels, ticks;

static void end_interrupt(void) { *memory32(APIC + 0xb0) = 0; }
HANDLER on_edge(struct frame *frame) { (void)frame; edges++; end_interrupt(); }
HANDLER on_level(struct frame *frame)
{
	(void)frame;
	if (++levels == 3) out32(0x2000 + 11, 0);
	end_interrupt();
}
HANDLER on_tick(struct frame *frame) { (void)frame; ticks++; end_interrupt(); }

static void redirect(u32 input, u32 low)
{
	*memory32(IO_APIC) = 0x10 + input * 2;
	*memory32(IO_APIC + 0x10) = low;
	*memory32(IO_APIC) = 0x11 + input * 2;
	*memory32(IO_APIC + 0x10) = 0;
}
static u64 item(u16 selector, int bytes)
{
	u64 value = 0;
	out16(0x510, selector);
	for (int i = 0; i < bytes; i++) value |= (u64)in8(0x511) << (i * 8);
	return value;
}
static void pause_a_little(void) { for (volatile int i = 0; i < 1000; i++); }

int main(u32 magic, u32 at)
{
	struct __attribute__((packed)) { u16 limit; unsigned long base; } pointer = { sizeof gates - 1, (unsigned long)gates };
	volatile u8 *bytes = (u8 *)0xff000000ul;

	(void)magic, (void)at;
	out32(0xe0, 0x87654321);
	check("echo in double words, words and bytes", in32(0xe0) == 0x87654321 && in16(0xe2) == 0x8765 && in8(0xe1) == 0x43);
	out8(0xe3, 0x11);
	out16(0xe8, 0xbeef);
	check("echo byte by byte", in32(0xe8) == 0x1165beef && in32(0xe0) == 0x1165beef);
	out32(0xe4, 0x400000);
	check("a forgotten page is still there", in32(0xe0) == 0x1165beef);

	*memory32(0xff000100) = 0x01020304;
	bytes[0x101] = 0xff;
	*(volatile u16 *)(bytes + 0x102) += 1;
	__asm__ volatile("lock addl $0x10, %0" : "+m"(*memory32(0xff000100)));
	check("memory of a device, read, written and changed in place", *memory32(0xff000100) == 0x0103ff14);
	__asm__ volatile("movl $0x101, %%ecx; rep stosb" : : "D"(bytes + 0xff00 - 1), "a"(0x5a) : "ecx", "memory");
	check("string instructions to a device", *memory32(0xff00fffc) == 0x5a5a5a5a && bytes[0xfefe] == 0);

	check("size of RAM", item(3, 8) == 128 << 20);
	check("processors", item(5, 2) == 1);
	check("an item that there is not", item(0x11, 8) == 0);

	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	__asm__ volatile("lidt %0" : : "m"(pointer));
	set_gate(0x77, on_edge);
	set_gate(0x78, on_level);
	set_gate(0x40, on_tick);
	*memory32(APIC + 0xf0) = 0x1ff;
	*memory32(IO_APIC) = 1;
	check("version of the I/O APIC", (*memory32(IO_APIC + 0x10) >> 16 & 0xff) == 23);
	redirect(14, 0x77);
	redirect(11, 0x8078);
	__asm__ volatile("sti");
	out32(0x2000 + 14, 1);
	out32(0x2000 + 14, 0);
	pause_a_little();
	check("an edge interrupts once", edges == 1);
	out32(0x2000 + 11, 1);
	pause_a_little();
	check("a level interrupts until it falls", levels == 3);
	redirect(14, 0x10077);
	out32(0x2000 + 14, 1);
	pause_a_little();
	check("a masked input does not", edges == 1);

	*memory32(APIC + 0x3e0) = 0xb;
	*memory32(APIC + 0x320) = 0x40;
	__asm__ volatile("cli"); /* on a busy host the time may be over before the next instruction: only STI right before HLT misses nothing */
	*memory32(APIC + 0x380) = 100000;
	__asm__ volatile("sti; hlt");
	check("the local APIC's timer ends a HLT", ticks == 1);
	__asm__ volatile("cli");
	*memory32(APIC + 0x320) = 0x10040;

	int failed = summary();
	if (!failed) for (const char *letter = "Shutdown"; *letter; letter++) out8(0x8900, *letter);
	return failed;
}
