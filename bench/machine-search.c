/*
 * Breadth-first search over the states of one machine, whose generated step function is included: what
 * machine.mjs compares the same search in JavaScript with. Prints nanoseconds, states and transitions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include STEP

#define MARK 0x80000000u

static uint32_t *table;
static uint32_t *queue;
static uint32_t mask;
static size_t head, tail;

static uint32_t hash(const uint32_t *s)
{
  uint32_t h = 0;
  for (int w = 0; w < WORDS; w++) {
    h = (h ^ s[w]) * 0x9e3779b1u;
    h ^= h >> 15;
  }
  h *= 0x85ebca6bu;
  return h ^ (h >> 13);
}

static void insert(const uint32_t *s)
{
  for (uint32_t i = hash(s) & mask;; i = (i + 1) & mask) {
    uint32_t *slot = table + (size_t)i * WORDS;
    if (!(slot[0] & MARK)) {
      memcpy(slot, s, sizeof(uint32_t) * WORDS);
      slot[0] |= MARK;
      queue[tail++] = i;
      return;
    }
    if (slot[0] != (s[0] | MARK)) continue;
    if (memcmp(slot + 1, s + 1, sizeof(uint32_t) * (WORDS - 1)) == 0) return;
  }
}

int main(int argc, char **argv)
{
  uint32_t slots = 1u << (argc > 1 ? atoi(argv[1]) : 20);
  uint32_t state[WORDS], out[WORDS * (MAX_SUCCESSORS + 1)];
  struct timespec from, to;
  size_t transitions = 0;
  mask = slots - 1;
  clock_gettime(CLOCK_MONOTONIC, &from);
  table = calloc((size_t)slots * WORDS, sizeof(uint32_t));
  queue = malloc((size_t)slots * sizeof(uint32_t));
  if (!table || !queue) return 1;
  insert(initial);
  while (head < tail) {
    memcpy(state, table + (size_t)queue[head++] * WORDS, sizeof(state));
    state[0] &= ~MARK;
    int n = successors(state, out);
    transitions += (size_t)n;
    for (int i = 0; i < n; i++) insert(out + i * WORDS);
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  double ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
  printf("%.0f %zu %zu\n", ns, tail, transitions);
  return 0;
}
