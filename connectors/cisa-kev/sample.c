#include "sample.h"

/* C17 cannot include bytes; the assembler can.  The path is from the top of the sources, where make runs. */
__asm__(".pushsection .rodata\n"
        ".global kev_sample_begin\n"
        ".hidden kev_sample_begin\n"
        "kev_sample_begin:\n"
        ".incbin \"connectors/cisa-kev/sample.json\"\n"
        ".global kev_sample_end\n"
        ".hidden kev_sample_end\n"
        "kev_sample_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const char kev_sample_begin[] __attribute__((visibility("hidden")));
extern const char kev_sample_end[] __attribute__((visibility("hidden")));

const char *
kev_sample(size_t *ret_len)
{
    *ret_len = (size_t)(kev_sample_end - kev_sample_begin);
    return kev_sample_begin;
}
