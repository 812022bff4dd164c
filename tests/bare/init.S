/*
 * Asks to be resumed in real mode, as systems of the time did to leave protected mode, and resets its processor in one way after the
 * other: through port 0x92, the keyboard controller, the reset register, and with INIT to itself. A digit for each, and a letter
 * when it has come back; port 0x92 has kept its bit.
 */
        .section .start, "ax"
        .code32
        .globl  _start
        .align  4
        .long   0x1badb002, 0, -0x1badb002
_start:
        mov     $0x9000, %esp
        lidt    no_vectors
        movl    $0x1000, 0x467
        mov     $resume, %esi
        mov     $0x1000, %edi
        mov     $resume_end - resume, %ecx
        rep movsb
        movb    $0, 0x2000
again:  mov     $0x0f, %al
        out     %al, $0x70
        mov     $0x0a, %al
        out     %al, $0x71
        mov     0x2000, %al
        add     $'1', %al
        mov     $0x3f8, %dx
        out     %al, %dx
        incb    0x2000
        cmpb    $2, 0x2000
        je      2f
        ja      3f
        in      $0x92, %al
        or      $1, %al
        out     %al, $0x92
        jmp     wait
2:      mov     $0xfe, %al
        out     %al, $0x64
        jmp     wait
3:      cmpb    $3, 0x2000
        ja      4f
        mov     $0xcf9, %dx
        xor     %al, %al
        out     %al, %dx
        mov     $4, %al
        out     %al, %dx
        jmp     wait
4:      movl    $0x1ff, 0xfee000f0
        movl    $0, 0xfee00310
        movl    $0x4500, 0xfee00300
wait:   cli
        hlt
        jmp     wait

        .align  4
no_vectors:
        .word   0
        .long   0
table:  .quad   0, 0x00cf9b000000ffff, 0x00cf93000000ffff

        .code16
resume: xor     %ax, %ax
        mov     %ax, %ds
        mov     $0x3f8, %dx
        mov     $'a', %al
        out     %al, %dx
        in      $0x92, %al
        test    $1, %al
        jz      5f
        cmpb    $4, 0x2000
        je      6f
        /* Into protected mode for the next. */
        lgdtl   0x1000 + table_pointer - resume
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $8, $protected
5:      mov     $1, %al
        out     %al, $0xf4
6:      mov     $7, %al
        out     %al, $0xf4
        hlt
table_pointer:
        .word   23
        .long   table
resume_end:
        .code32
protected:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $0x9000, %esp
        jmp     again
        .section .note.GNU-stack, "", @progbits
