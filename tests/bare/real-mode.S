/* Goes back to real mode below 1 MiB, with the interrupt vectors that firmware left: counts, halts until the timer ticks, ends with a byte. */
        .section .start, "ax"
        .code32
        .globl  _start
        .align  4
        .long   0x1badb002, 0, -0x1badb002
        .org    0x18
_start:
        cli
        mov     $0xb000, %esp
        lgdt    table_pointer
        ljmp    $8, $1f
        .code16
1:      mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %cr0, %eax
        and     $0xfffffffe, %eax
        mov     %eax, %cr0
        ljmp    $0, $2f
2:      xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        lidt    vectors_pointer
        mov     $'a', %al
        call    put
        /* The equipment word has a serial port. */
        xor     %ax, %ax
        int     $0x11
        mov     $1, %bl
        test    $0x0200, %ax
        jz      3f
        mov     $'b', %al
        call    put
        /* 639 KiB below the extended data area. */
        int     $0x12
        mov     $2, %bl
        cmp     $639, %ax
        jne     3f
        mov     $'c', %al
        call    put
        /* A HLT goes on with the tick, which is counted. */
        mov     0x46c, %cx
        sti
        hlt
        cli
        mov     $3, %bl
        mov     0x46c, %ax
        sub     %cx, %ax
        cmp     $1, %ax
        jne     3f
        mov     $'d', %al
        call    put
        /* Line 11 of the interrupt controller has vector 0x73. */
        mov     $handler, %ax
        mov     %ax, 0x73 * 4
        mov     %cs, 0x73 * 4 + 2
        in      $0x21, %al
        and     $0xfb, %al
        out     %al, $0x21
        in      $0xa1, %al
        and     $0xf7, %al
        out     %al, $0xa1
        mov     $0x200b, %dx
        mov     $4, %bl
        mov     $1, %eax
        sti
        out     %eax, %dx
        nop
        cli
        xor     %eax, %eax
        out     %eax, %dx
        test    %bl, %bl
        jnz     3f
        mov     $'e', %al
        call    put
3:      mov     $'\n', %al
        call    put
        mov     %bl, %al
        out     %al, $0xf4
4:      hlt
        jmp     4b

handler:
        xor     %bl, %bl
        push    %ax
        mov     $0x20, %al
        out     %al, $0xa0
        out     %al, $0x20
        pop     %ax
        iret

put:    push    %dx
        mov     $0x3f8, %dx
        out     %al, %dx
        pop     %dx
        ret

        .align  8
table:  .quad   0, 0x00009b000000ffff, 0x000093000000ffff
table_pointer:
        .word   23
        .long   table
vectors_pointer:
        .word   0x3ff
        .long   0
        .section .note.GNU-stack, "", @progbits
