import { buildCommand } from '@stricli/core';
import type { SpteFlags } from '../commands/spte.ts';
import { SPTE_FORMATS } from '../formats.ts';
import { act, type Context, optionalWord, word } from '../route.ts';

export const spte = buildCommand<SpteFlags, string[], Context>({
  docs: {
    brief: "an entry of KVM's page tables, bit by bit: its memory type, and everything else",
    fullDescription:
      'VALUE is hexadecimal, as the kernel prints it (600000010e5b8f7, 0x..., with _ between digits), or a ' +
      'line of a trace (kvm_mmu_set_spte, kvm_tdp_mmu_spte_changed). What is not said is not guessed: every ' +
      'reading that fits is named, and what tells them apart. Exit code 1: no kernel writes this value.',
  },
  parameters: {
    flags: {
      format: { kind: 'enum', values: SPTE_FORMATS, default: 'text', brief: 'output format' },
      paging: optionalWord('ept, npt or shadow', 'mode'),
      kernel: optionalWord('version of the host kernel, as uname -r prints it', 'version'),
      level: optionalWord('1 (4 KiB), 2 (2 MiB), 3 (1 GiB), 4 or 5', 'level'),
    },
    positional: {
      kind: 'array',
      minimum: 1,
      parameter: {
        brief: 'an SPTE, a line of a trace, - for standard input',
        parse: word,
        placeholder: 'value',
      },
    },
  },
  async func(flags, ...values) {
    const { runSpte } = await import('../commands/spte.ts');
    await act(this, () => runSpte(values, flags, this.io));
  },
});
