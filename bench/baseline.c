/*
 * What the resolution of memory types costs in plain C, for bench/run.mjs. SDM Table 11-7 and APM Tables
 * 7-11, 15-19 and 15-20 stand here a second time, copied by hand from the grids in src/x86/: equal
 * checksums say that both programs do the same.
 *
 *     baseline PATH PASSES     prints "NANOSECONDS CHECKSUM"
 *
 * PATH: intel, amd       address + page-table entry -> type; the MTRR pairs are tried one by one
 *       intel-digits     the same by the digit tables of src/x86/fast.ts
 *       ept, npt         table lookups alone
 */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { UC = 0, WC = 1, CD = 2, WCP = 3, WT = 4, WP = 5, WB = 6, UCM = 7, RSV = 254, UNDEF = 255 };
enum { POOL = 4096, RANGES = 8, SEED = 0x6d656d74 };

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

static const int CODES[6] = { UC, UCM, WC, WT, WP, WB }; /* PAT columns, manual order */
static const int MTRRS[5] = { UC, WC, WT, WP, WB };

static const u8 INTEL_CELLS[5][6] = {
    { UC, UC, WC, UC, UC, UC },
    { UC, WC, WC, UC, UC, WC },
    { UC, UC, WC, WT, WP, WT },
    { UC, WC, WC, WT, WP, WP },
    { UC, UC, WC, WT, WP, WB },
};
static const u8 AMD_CELLS[5][6] = {
    { UC, UC, WC, UC, UC, UC },
    { CD, WC, WC, CD, CD, WC },
    { CD, CD, WC, WT, CD, WT },
    { CD, CD, WC, CD, WP, WP },
    { CD, CD, WC, WT, WP, WB },
};
/* APM 15-19, guest x host, and 15-20, combined x MTRR; both ordered UC UC- WC [WC+] WP WT WB */
static const int NPT_PAT[6] = { UC, UCM, WC, WP, WT, WB };
static const int NPT_MTRR[5] = { UC, WC, WP, WT, WB };
static const u8 NPT_COMBINED[6][6] = { /* WC+ is WCP */
    { UC, UC, UC, UC, UC, UC },
    { UC, UCM, WC, UC, UC, UC },
    { WC, WC, WC, WCP, WCP, WCP },
    { UC, UC, UC, WP, UC, WP },
    { UC, UC, UC, UC, WT, WT },
    { UC, UC, WC, WP, WT, WB },
};
static const int NPT_ROWS[7] = { UC, UCM, WC, WCP, WP, WT, WB };
static const u8 NPT_CELLS[7][5] = {
    { UC, CD, CD, CD, CD },
    { UC, WC, CD, CD, CD },
    { WC, WC, WC, WC, WC },
    { WC, WC, WCP, WCP, WCP },
    { UC, CD, WP, CD, WP },
    { UC, CD, CD, WT, WT },
    { UC, WC, WP, WT, WB },
};

static u8 intel[64], amd[64], ept[128], npt[512];

static void fill_tables(void)
{
    memset(intel, RSV, sizeof intel);
    memset(ept, RSV, sizeof ept);
    memset(npt, RSV, sizeof npt);
    memset(amd, RSV, sizeof amd);
    for (int p = 0; p < 8; p++)
        intel[7 << 3 | p] = amd[7 << 3 | p] = UNDEF;
    for (int m = 0; m < 5; m++)
        for (int p = 0; p < 6; p++) {
            intel[MTRRS[m] << 3 | CODES[p]] = INTEL_CELLS[m][p];
            amd[MTRRS[m] << 3 | CODES[p]] = AMD_CELLS[m][p];
            ept[MTRRS[m] << 3 | CODES[p]] = INTEL_CELLS[m][p];
            ept[64 | MTRRS[m] << 3 | CODES[p]] = MTRRS[m];
        }
    memset(npt + (7 << 6), UNDEF, 64);
    for (int g = 0; g < 6; g++)
        for (int h = 0; h < 6; h++)
            for (int m = 0; m < 5; m++) {
                int row = 0;
                while (NPT_ROWS[row] != NPT_COMBINED[g][h])
                    row++;
                npt[NPT_MTRR[m] << 6 | NPT_PAT[g] << 3 | NPT_PAT[h]] = NPT_CELLS[row][m];
            }
}

/* ---- inputs: the same generator, seed and order as bench/inputs.mjs ---- */

static u32 state = SEED;

static u32 next(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static u64 base[RANGES], mask[RANGES];
static u8 type[RANGES], fixed[88], precedence[128];
static const u8 pat[8] = { WB, WC, UCM, UC, WB, WP, UCM, WT };
static u64 address[POOL];
static u32 entry[POOL];
static u8 large[POOL];

static void fill_inputs(void)
{
    static const u64 GIB = 1ull << 30;
    const u64 layout[RANGES][3] = { /* start, size, type; WB by default */
        { 2 * GIB, GIB / 2, UC }, { 3 * GIB, GIB, UC }, { 1ull << 45, 1ull << 45, UC },
        { 0xd0000000, GIB / 4, WC }, { 4 * GIB, 4 * GIB, WB }, { 6 * GIB, 2 * GIB, WT },
        { 16 * GIB, 16 * GIB, WP }, { 24 * GIB, 8 * GIB, WB },
    };
    for (int i = 0; i < RANGES; i++) {
        base[i] = layout[i][0];
        mask[i] = (1ull << 46) - layout[i][1];
        type[i] = layout[i][2];
    }
    for (int i = 0; i < 88; i++)
        fixed[i] = MTRRS[next() % 5];
    for (int i = 0; i < POOL; i++) {
        u32 bits = 20 + next() % 27;
        u64 high = next();
        address[i] = (high << 32 | next()) & ((1ull << bits) - 1);
        entry[i] = next();
        large[i] = next() & 1;
    }
    for (int seen = 1; seen < 128; seen++) {
        precedence[seen] = UNDEF;
        for (int t = 0; t < 7; t++)
            if (seen == 1 << t)
                precedence[seen] = t;
        if (seen == (1 << WT | 1 << WB))
            precedence[seen] = WT;
        if (seen & 1 << UC)
            precedence[seen] = UC;
    }
}

/* ---- the paths ---- */

static inline unsigned fixed_type(u64 a)
{
    return fixed[a < 0x80000 ? a >> 16 : a < 0xc0000 ? 8 + ((a - 0x80000) >> 14)
                                                     : 24 + ((a - 0xc0000) >> 12)];
}

static inline unsigned mtrr_walk(u64 a)
{
    unsigned seen = 0;
    if (a < 0x100000)
        return fixed_type(a);
    for (int i = 0; i < RANGES; i++)
        if (((a ^ base[i]) & mask[i]) == 0)
            seen |= 1u << type[i];
    return seen ? precedence[seen] : WB;
}

static uint16_t digits[4][1024];
static u8 of_set[1 << RANGES];

static void fill_digits(void)
{
    for (int n = 0; n < 4; n++)
        for (u64 d = 0; d < 1024; d++)
            for (int i = 0; i < RANGES; i++) {
                int shift = 42 - 10 * n;
                if (((d << shift ^ base[i]) & mask[i] & 1023ull << shift) == 0)
                    digits[n][d] |= 1 << i;
            }
    for (int set = 0; set < 1 << RANGES; set++) {
        unsigned seen = 0;
        for (int i = 0; i < RANGES; i++)
            if (set >> i & 1)
                seen |= 1u << type[i];
        of_set[set] = seen ? precedence[seen] : WB;
    }
}

static inline unsigned mtrr_digits(u64 a)
{
    if (a < 0x100000)
        return fixed_type(a);
    return of_set[digits[0][a >> 42 & 1023] & digits[1][a >> 32 & 1023] & digits[2][a >> 22 & 1023] &
                  digits[3][a >> 12 & 1023]];
}

static inline unsigned pat_code(u32 e, int is_large)
{
    return pat[(e >> 3 & 3) | (e >> (is_large ? 10 : 5) & 4)];
}

/* One pass over the pool; `types` is the table of MTRR x PAT, the same code for both vendors. */
#define PASS(name, value)                                                                          \
    static u32 name(const u8 *types, u32 sum)                                                      \
    {                                                                                              \
        for (int i = 0; i < POOL; i++)                                                             \
            sum = sum * 31 + (value);                                                              \
        return sum;                                                                                \
    }

PASS(pass_walk, types[(mtrr_walk(address[i]) & 7) << 3 | pat_code(entry[i], large[i])])
PASS(pass_digits, types[(mtrr_digits(address[i]) & 7) << 3 | pat_code(entry[i], large[i])])
PASS(pass_ept, types[(entry[i] & 0x78) | (entry[i] >> 12 & 7)])
PASS(pass_npt, types[(entry[i] >> 12 & 7) << 6 | (entry[i] >> 3 & 7) << 3 | (entry[i] & 7)])

static const struct {
    const char *name;
    u32 (*pass)(const u8 *, u32);
    const u8 *types;
} PATHS[] = {
    { "intel", pass_walk, intel },
    { "amd", pass_walk, amd },
    { "intel-digits", pass_digits, intel },
    { "ept", pass_ept, ept },
    { "npt", pass_npt, npt },
};

int main(int argc, char **argv)
{
    struct timespec from, to;
    u32 sum = 0;
    fill_tables();
    fill_inputs();
    fill_digits();
    for (size_t p = 0; argc == 3 && p < sizeof PATHS / sizeof *PATHS; p++) {
        if (strcmp(argv[1], PATHS[p].name) != 0)
            continue;
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (long n = atol(argv[2]); n > 0; n--)
            sum = PATHS[p].pass(PATHS[p].types, sum);
        clock_gettime(CLOCK_MONOTONIC, &to);
        long long ns = (to.tv_sec - from.tv_sec) * 1000000000ll + (to.tv_nsec - from.tv_nsec);
        printf("%lld %u\n", ns, sum);
        return 0;
    }
    fprintf(stderr, "usage: baseline PATH PASSES\n");
    return 2;
}
