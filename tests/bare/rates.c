/* How often interrupts come, and what their ends cost. EOI= and NR_CPUS= and ROUNDS= are in the first module; the time is taken outside. */
#include "bare.h"
#include "interrupts.h"
#include "several.h"
#include "synthetic.h"

#define SELF 0x60
#define LOW 0x41
#define HIGH 0x51
#define CONNECTION 7
enum { EXTENDED_CONTROL = 0x410, SELECTED_EOI = 0x420 };

static volatile u32 came, offers, joins, rounds, low_handled, waited, messages, ends;
static u32 source_vector;

HANDLER on_explicit(struct frame *frame) { (void)frame; came++; *apic(0xb0) = 0; }
HANDLER on_model(struct frame *frame) { (void)frame; came++; write_msr(0x80b, 0); }
HANDLER on_auto(struct frame *frame) { (void)frame; came++; }
HANDLER on_lazy(struct frame *frame)
{
	(void)frame;
	u32 offer = 0;
	came++;
	__asm__ volatile("xchgl %0, %1" : "+r"(offer), "+m"(*(volatile u32 *)assist_page) : : "memory");
	if (offer & 1) offers++;
	else *apic(0xb0) = 0;
}
/* The lower one is through first, and says so from inside of the higher one. */
HANDLER on_high(struct frame *frame) { (void)frame; came++; *apic(SELECTED_EOI) = LOW; *apic(SELECTED_EOI) = HIGH; }
HANDLER on_low(struct frame *frame)
{
	(void)frame;
	came++;
	*apic(0x300) = 0x44000 | HIGH;
	__asm__ volatile("sti; nop; nop; nop; cli");
	if (*apic(0x100 + (LOW >> 5) * 16) >> (LOW & 31) & 1) waited++; /* nobody has ended it */
}
/* Processor 1 answers with an interrupt from inside of its own. */
HANDLER on_question(struct frame *frame) { (void)frame; send(0, 0x4000 | SELF); *apic(0xb0) = 0; }
/* As the driver of a bus does it: the slot is emptied, and the end of the message told when more wait. */
HANDLER on_message(struct frame *frame)
{
	(void)frame;
	volatile u32 *at = slot(source_vector & 15);
	while (at[0] != 0) {
		messages++;
		at[0] = 0;
		__asm__ volatile("lock orl $0, %0" : : "m"(*at) : "memory");
		if (!pending(source_vector & 15)) break;
		ends++;
		write_msr(EOM, 0);
	}
}

void joined(u32 number)
{
	(void)number;
	set_up();
	add(&joins, 1);
	for (;;) __asm__ volatile("sti; hlt");
}
static void begin(const char *name) { print("BEGIN "); print(name); print("\n"); }
static void end(const char *name, u32 done, u32 spared)
{
	print("END ");
	print(name);
	print(" done=");
	print_number(done);
	print(" spared=");
	print_number(spared);
	print("\n");
}
static void to_itself(const char *name, int model)
{
	u32 before = came;
	begin(name);
	for (u32 i = 1; i <= rounds; i++) {
		if (model) write_msr(0x83f, SELF);
		else *apic(0x300) = 0x44000 | SELF;
		while (came != before + i);
	}
	end(name, came - before, offers);
}
static void burst(u32 most)
{
	u32 wanted = 0, before = messages, ended = ends;
	char name[] = "burst00";
	name[5] += most / 10;
	name[6] += most % 10;
	begin(name);
	for (u32 i = 0; i < rounds / 16; i++) {
		__asm__ volatile("cli");
		for (u32 k = 0; k < most; k++) wanted += post(CONNECTION, 1 + k, k) == 0;
		__asm__ volatile("sti");
		while (messages - before != wanted) relax();
	}
	end(name, messages - before, ends - ended);
}

int main(u32 magic, u32 info)
{
	const char *how = text_of(info, "EOI");
	u32 processors = number_of(info, "NR_CPUS", 1);
	char letter = how ? how[0] : 'e';
	(void)magic;
	rounds = number_of(info, "ROUNDS", 1000);
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	if (letter == 'a' || letter == 'l') {
		write_msr(GUEST_OS, 0x8100000000000001ull);
		write_msr(HYPERCALL, (word)call_page | 1);
	}
	set_gate(SELF, letter == 'l' ? (void *)on_lazy : letter == 'a' ? (void *)on_auto : (void *)on_explicit);
	set_gate(0x70, on_question);
	set_up();
	if (processors > 1) {
		start_others();
		wait_for(&joins, processors - 1);
		u32 before = came;
		begin("round-trip");
		for (u32 i = 1; i <= rounds; i++) {
			send(1, 0x4070);
			while (came != before + i) relax();
		}
		end("round-trip", came - before, 0);
		return 0;
	}
	if (letter == 'e') {
		to_itself("explicit", 0);
	} else if (letter == 'x') {
		write_msr(0x1b, read_msr(0x1b) | 0x400);
		set_gate(SELF, on_model);
		to_itself("explicit-x2apic", 1);
	} else if (letter == 'l') {
		write_msr(ASSIST, (word)assist_page | 1);
		to_itself("lazy", 0);
	} else if (letter == 's') {
		*apic(EXTENDED_CONTROL) = 2;
		set_gate(LOW, on_low);
		set_gate(HIGH, on_high);
		begin("selective");
		for (u32 i = 1; i <= rounds / 2; i++) {
			*apic(0x300) = 0x44000 | LOW;
			while (came != 2 * i);
		}
		end("selective", came, waited);
	} else {
		write_msr(SCONTROL, 1);
		write_msr(SINT + 1, SELF | AUTO_EOI);
		to_itself("auto", 0);
		source_vector = 0x82;
		set_gate(source_vector, on_message);
		write_msr(SIMP, (word)message_page | 1);
		write_msr(SINT + 2, source_vector | AUTO_EOI);
		control(MESSAGES, 2, CONNECTION);
		burst(1);
		burst(2);
		burst(8);
		burst(16);
	}
	return 0;
}
