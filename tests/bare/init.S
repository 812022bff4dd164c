/* Asks to be resumed in real mode, as systems of the time did to leave protected mode, and sends INIT to its own processor. */
        .section .start, "ax"
        .code32
        .globl  _start
        .align  4
        .long   0x1badb002, 0, -0x1badb002
_start:
        mov     $0x9000, %esp
        movl    $0x1000, 0x467
        mov     $resume, %esi
        mov     $0x1000, %edi
        mov     $resume_end - resume, %ecx
        rep movsb
        mov     $0x0f, %al
        out     %al, $0x70
        mov     $0x0a, %al
        out     %al, $0x71
        mov     $'1', %al
        mov     $0x3f8, %dx
        out     %al, %dx
        movl    $0x1ff, 0xfee000f0
        movl    $0, 0xfee00310
        movl    $0x4500, 0xfee00300
1:      pause
        jmp     1b

        .code16
resume: mov     $'2', %al
        mov     $0x3f8, %dx
        out     %al, %dx
        mov     $7, %al
        out     %al, $0xf4
2:      hlt
        jmp     2b
resume_end:
        .section .note.GNU-stack, "", @progbits
