/* The synthetic interrupt controller of a hypervisor: its registers, its pages, and calls. */
#define PORT 0x3000
enum { GUEST_OS = 0x40000000, HYPERCALL, VP_INDEX, TIME = 0x40000020, TSC_PAGE, TSC_HZ, SYNTHETIC_EOI = 0x40000070, SYNTHETIC_ICR, SYNTHETIC_TPR, ASSIST,
	SCONTROL = 0x40000080, SVERSION, SIEFP, SIMP, EOM, SINT = 0x40000090, TIMER = 0x400000b0 };
enum { ROUTE = 1, RAISE = 3, MESSAGES, NO_MESSAGES, EVENTS, NO_EVENTS };
#define MASKED (1u << 16)
#define AUTO_EOI (1u << 17)

static __attribute__((unused)) u8 call_page[4096] __attribute__((aligned(4096))), message_page[4096] __attribute__((aligned(4096))), event_page[4096] __attribute__((aligned(4096)));
static __attribute__((unused)) u8 assist_page[4096] __attribute__((aligned(4096))), time_page[4096] __attribute__((aligned(4096))), input[256] __attribute__((aligned(8)));

/* Status of a call. */
static inline u32 call(u64 value, u64 in)
{
#ifdef LONG
	register u64 out __asm__("r8") = 0xdeadbeefdeadbeefull; /* for calls without an answer it means nothing */
	u64 result;
	__asm__ volatile("call *%3" : "=a"(result), "+c"(value), "+d"(in) : "r"(call_page), "r"(out) : "memory", "r9", "r10", "r11");
	return (u32)result & 0xffff;
#else
	u32 low = value, high = value >> 32;
	__asm__ volatile("call *%3" : "+a"(low), "+d"(high) : "b"((u32)(in >> 32)), "S"(call_page), "c"((u32)in), "D"(0) : "memory");
	return low & 0xffff;
#endif
}
static inline u32 signal(u32 connection, u32 flag) { return call(0x1005d, connection | (u64)flag << 32); }
static inline u32 post(u32 connection, u32 type, u8 first)
{
	u32 *at = (u32 *)input;
	at[0] = connection; at[1] = 0; at[2] = type; at[3] = 16;
	input[16] = first;
	return call(0x5c, (word)input);
}
static inline volatile u32 *slot(u32 source) { return (volatile u32 *)(message_page + source * 256); }
static inline int pending(u32 source) { return slot(source)[1] >> 8 & 1; }
static inline void control(u32 operation, u32 source, u32 connection) { out32(PORT, connection << 24 | operation << 16 | source); }
