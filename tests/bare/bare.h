/* What the programs here share: text on COM1, and checks that are counted. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;

#define IN(name, type, suffix) static inline type name(u16 port) { type value; __asm__ volatile("in" suffix " %1, %0" : "=a"(value) : "Nd"(port)); return value; }
#define OUT(name, type, suffix) static inline void name(u16 port, type value) { __asm__ volatile("out" suffix " %0, %1" : : "a"(value), "Nd"(port)); }
IN(in8, u8, "b") IN(in16, u16, "w") IN(in32, u32, "l")
OUT(out8, u8, "b") OUT(out16, u16, "w") OUT(out32, u32, "l")

static u32 checks, failures;

static void put(char letter)
{
	while (!(in8(0x3fd) & 0x20));
	out8(0x3f8, letter);
}
static void print(const char *text)
{
	while (*text) put(*text++);
}
static void print_number(u64 number)
{
	char digits[24], *at = digits + 23;
	*at = 0;
	u32 low = number;
	do *--at = '0' + low % 10; while (low /= 10);
	print(at);
}
static void print_hex(u32 number)
{
	for (int shift = 28; shift >= 0; shift -= 4) put("0123456789abcdef"[number >> shift & 15]);
}
static void check(const char *name, int passed)
{
	checks++;
	if (!passed) failures++;
	print(passed ? "PASS: " : "FAIL: ");
	print(name);
	print("\n");
}
static int same(const char *a, const char *b)
{
	while (*a && *a == *b) a++, b++;
	return *a == *b;
}
/* The result of main. */
static int summary(void)
{
	print("SUMMARY: ");
	print_number(checks);
	print(" tests, ");
	print_number(failures);
	print(" unexpected failures\n");
	return failures != 0;
}
static volatile u32 *memory32(u32 address) { return (volatile u32 *)(unsigned long)address; }
