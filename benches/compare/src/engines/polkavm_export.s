# What PolkaVM's linker reads: the kernel is exported as `run`, with one register in and one out.
    .section .polkavm_metadata, "a"
metadata:
    .byte 1
    .4byte 0
    .4byte 3
    .8byte name
    .byte 1
    .byte 1
    .section .rodata
name:
    .ascii "run"
    .section .polkavm_exports, "Ra", @note
    .byte 1
    .8byte metadata
    .8byte exported_run
