/* What the loader leaves behind: registers, memory, modules and the command line. */
#include "bare.h"

static const u32 constant = 0x12345678;
static u8 zeros[3 << 20];

int main(u32 magic, u32 at)
{
	volatile u32 *info = memory32(at), *module;
	u32 flags, dirty = 0, largest = 0, entries = 0;

	unsigned long rflags;
	__asm__ volatile("pushf; pop %0" : "=r"(rflags));
	check("magic number", magic == 0x2badb002);
	check("interrupts off, direction up", (rflags & 0x600) == 0);
	check("initialised data", constant == 0x12345678);
	for (u32 i = 0; i < sizeof zeros; i++) dirty |= ((volatile u8 *)zeros)[i];
	check("zeroed data", dirty == 0);
	check("information away from programs", at >= 0x10000 && (at < 4 << 20 || at >= 17 << 20));
	flags = info[0];
	check("flags", (flags & 0x4d) == 0x4d);
	check("memory", info[1] == 639 && info[2] > 1024);
	for (u32 entry = info[12]; entry < info[12] + info[11]; entry += *memory32(entry) + 4) {
		volatile u32 *fields = memory32(entry);
		entries++;
		if (fields[0] == 20 && fields[5] == 1 && fields[2] == 0 && fields[4] == 0 && fields[3] > largest) largest = fields[3];
	}
	check("memory map", entries >= 3 && largest >= info[2] * 1024);
	print("command line: ");
	print((char *)(unsigned long)info[4]);
	print("\n");
	for (u32 i = 0; i < info[5]; i++) {
		module = memory32(info[6] + i * 16);
		print("module ");
		print((char *)(unsigned long)module[2]);
		print(", ");
		print_number(module[1] - module[0]);
		print(" bytes: ");
		for (u32 byte = module[0]; byte < module[1] && byte < module[0] + 16; byte++) put(*(char *)(unsigned long)byte);
		print("\n");
	}
	return summary();
}
