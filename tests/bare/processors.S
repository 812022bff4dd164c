/* Where a started processor begins, copied to page 1: from real mode into the mode of the program, then to joined(number) on a stack of its own. */
        .globl  trampoline, trampoline_end, real_page
        .text
        .code16
trampoline:
        cli
        mov     %cs, %ax
        mov     %ax, %ds
        movw    %ax, real_segment - trampoline
        lgdtl   short_table - trampoline
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $8, $in_protected
short_table:
        .word   23
        .long   flat_table
real_segment:
        .word   0
trampoline_end:

        .code32
in_protected:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        movzwl  0x1000 + real_segment - trampoline, %eax
        mov     %eax, real_page
#ifdef LONG
        mov     $level4, %eax
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $0x620, %eax
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     %cr0, %eax
        or      $0x80000000, %eax
        mov     %eax, %cr0
        lgdt    table_pointer
        ljmp    $8, $1f
        .code64
1:      mov     $1, %edi
        lock xadd %edi, numbers
        mov     %edi, %eax
        inc     %eax
        shl     $13, %eax
        lea     stacks(%rax), %rsp
        call    joined
#else
        lgdt    table_pointer
        mov     $1, %ecx
        lock xadd %ecx, numbers
        mov     %ecx, %eax
        inc     %eax
        shl     $13, %eax
        lea     stacks(%eax), %esp
        push    %ecx
        call    joined
#endif

        .data
        .align  8
flat_table:
        .quad   0, 0x00cf9b000000ffff, 0x00cf93000000ffff
real_page:
        .long   0
numbers:
        .long   1
        .bss
        .align  4096
stacks: .skip   16 * 8192
        .section .note.GNU-stack, "", @progbits
