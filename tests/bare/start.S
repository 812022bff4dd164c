/* Begins as a multiboot loader leaves it, in long mode with LONG, and ends with what main returns. */
        .section .start, "ax"
        .code32
        .globl  _start, level4, table_pointer
        .align  4
        .long   0x1badb002, 0, -0x1badb002
_start:
        mov     $stack_end, %esp
        mov     %eax, magic
        mov     %ebx, info
#ifdef LONG
        /* One table of each level; large pages map the first 4 GiB to themselves. */
        movl    $level3 + 7, level4
        mov     $4, %ecx
        mov     $level2 + 7, %eax
        mov     $level3, %edi
1:      mov     %eax, (%edi)
        add     $4096, %eax
        add     $8, %edi
        loop    1b
        mov     $2048, %ecx
        mov     $0x83, %eax
        mov     $level2, %edi
2:      mov     %eax, (%edi)
        add     $0x200000, %eax
        add     $8, %edi
        loop    2b
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
        ljmp    $8, $in_long_mode
        .code64
in_long_mode:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     magic, %edi
        mov     info, %esi
        call    main
        .code32
#else
        lgdt    table_pointer
        ljmp    $8, $1f
1:      mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        push    info
        push    magic
        call    main
#endif
        /* The same bytes in both modes. */
        out     %eax, $0xf4
3:      hlt
        jmp     3b

        .section .data
        .align  8
table:
        .quad   0
#ifdef LONG
        .quad   0x00af9b000000ffff
#else
        .quad   0x00cf9b000000ffff
#endif
        .quad   0x00cf93000000ffff
table_pointer:
        .word   23
        .long   table
magic:  .long   0
info:   .long   0

        .section .bss
        .align  4096
level4: .skip   4096
level3: .skip   4096
level2: .skip   4 * 4096
        .skip   16384
stack_end:
        .section .note.GNU-stack, "", @progbits
