/*
 * What the faults of bench/mmu.mjs cost in plain C: for each page the memslot, the frame, the MMIO test by a
 * list of frame ranges, the type, a walk of four levels with tables made on the way, and the entry of 6.1.
 *
 *     mmu-baseline PAGES     prints "NANOSECONDS CHECKSUM"
 */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef uint64_t u64;

enum { PRESENT = 1 << 11, A = 1 << 8, D = 1 << 9, IPAT = 1 << 6, WB = 6, RWX = 7 };
#define WRITABLE (3ull << 57) /* host- and MMU-writable of EPT, 5.13 to 7.1 */
#define ADDRESS 0xffffffffff000ull

struct slot { u64 gfn, pages, hva; };
struct mapping { u64 hva, end, pfn; int writable; };
struct frames { u64 pfn, end; int mmio; };

static struct slot slot;
static struct mapping mapping;
static struct frames ranges[1] = { { 0, ~0ull, 0 } };
static int noncoherent;

static u64 *new_table(void)
{
    u64 *table = aligned_alloc(4096, 4096);
    if (!table)
        exit(2);
    for (int i = 0; i < 512; i++)
        table[i] = 0;
    return table;
}

static int is_mmio(u64 pfn)
{
    for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (pfn >= ranges[i].pfn && pfn < ranges[i].end)
            return ranges[i].mmio;
    return 0;
}

static u64 fault(u64 *root, u64 gfn)
{
    if (gfn < slot.gfn || gfn >= slot.gfn + slot.pages)
        return 0;
    u64 hva = slot.hva + (gfn - slot.gfn) * 4096;
    if (hva < mapping.hva || hva >= mapping.end || !mapping.writable)
        return 0;
    u64 pfn = mapping.pfn + (hva - mapping.hva) / 4096;
    u64 type = is_mmio(pfn) ? 0 : noncoherent ? WB << 3 : WB << 3 | IPAT;
    u64 spte = pfn << 12 | PRESENT | A | D | RWX | WRITABLE | type;
    u64 *table = root;
    for (int level = 4; level > 1; level--) {
        u64 *entry = &table[gfn >> 9 * (level - 1) & 511];
        if (!(*entry & PRESENT))
            *entry = ((u64)(uintptr_t)new_table() & ADDRESS) | PRESENT | A | RWX;
        table = (u64 *)(uintptr_t)(*entry & ADDRESS);
    }
    table[gfn & 511] = spte;
    return spte;
}

int main(int argc, char **argv)
{
    u64 pages = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, sum = 0;
    slot = (struct slot){ 0, pages, 1ull << 40 };
    mapping = (struct mapping){ 1ull << 40, (1ull << 40) + pages * 4096, 0x100000, 1 };
    u64 *root = new_table();
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (u64 gfn = 0; gfn < pages; gfn++)
        sum ^= fault(root, gfn);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%lld %x\n", (b.tv_sec - a.tv_sec) * 1000000000ll + (b.tv_nsec - a.tv_nsec),
           (unsigned)(sum ^ sum >> 32));
    return 0;
}
